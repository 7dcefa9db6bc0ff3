// A program: SOCKET BYTES. Answers every request with as many bytes, made beforehand, until it is ended.
import http from 'node:http';

const [socket, bytes] = process.argv.slice(2);
const body = 'x'.repeat(Number(bytes));
const server = http.createServer((_, response) => response.end(body));
server.listen(socket, () => process.stdout.write('ready\n'));
// Closed in order, it takes its socket file along.
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
