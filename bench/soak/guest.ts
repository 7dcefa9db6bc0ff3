import type { Vm } from '@vivarium/model';

/**
 * The workload: three loops that find out by themselves whether anything of theirs was lost, and one that counts in RAM.
 * What is wrong goes to /dev/shm/bad, which nothing removes.
 *
 * - `count`: a shell's own variable, shown in /dev/shm/count. `life` tells one boot from another.
 * - `files`: /data/N-MD5, random bytes that are on the disk before they have their name.
 * - `tcp`: numbers, through a connection of the guest's to itself that is never closed; each has to come back in its turn.
 */
const script = `
mkdir -p /data
rm -f /data/.new
head -c 8 /dev/urandom | md5sum > /dev/shm/life
count() { n=0; while :; do n=$((n+1)); echo $n > /dev/shm/count.new; mv /dev/shm/count.new /dev/shm/count; usleep 3000; done; }
files() { n=0; while :; do
  head -c 30000 /dev/urandom | dd of=/data/.new conv=fsync 2>/dev/null
  set -- $(md5sum /data/.new); mv /data/.new /data/$((n % 40))-$1
  for old in /data/$((n % 40))-*; do [ $old = /data/$((n % 40))-$1 ] || rm -f $old; done
  n=$((n+1)); usleep 20000
done; }
tcp() {
  nc -l -p 7000 -e cat & usleep 300000
  { n=0; while :; do echo $n; n=$((n+1)); usleep 5000; done; } | nc 127.0.0.1 7000 |
  { expected=0; while read -r n; do
    [ "$n" = $expected ] || echo "tcp: $n instead of $expected" >> /dev/shm/bad
    expected=$((n+1)); echo $n > /dev/shm/tcp.new; mv /dev/shm/tcp.new /dev/shm/tcp
  done; echo "tcp: the connection ended" >> /dev/shm/bad; }
}
count & files & tcp &
wait
`;

export const command = ['sh', '-c', script];

const look = `cat /dev/shm/life /dev/shm/count /dev/shm/tcp 2>/dev/null; cat /dev/shm/bad 2>/dev/null; true`;

/** Names are of a number and a checksum; one that is being replaced may go while it is read. */
const check = `for f in /data/*-*; do set -- $(md5sum $f 2>/dev/null); [ -z "$1" ] || [ "\${f#*-}" = $1 ] || echo "$f has $1"; done; ls /data | wc -l`;

/** What a guest says of itself. */
export interface Sight {
  /** Of one boot; a copy has its source's. */
  life: string;
  count: number;
  tcp: number;
  bad: string[];
}

export async function lookInto(vm: Vm): Promise<Sight> {
  const { stdout } = await vm.exec(['sh', '-c', look], { timeoutMs: 20_000 }).orThrow();
  const [life = '', count, tcp, ...bad] = stdout.trim().split('\n');
  return { life, count: Number(count), tcp: Number(tcp), bad };
}

/** Files whose bytes are not what their names say, and how many were read. */
export async function checkFiles(vm: Vm): Promise<{ wrong: string[]; files: number }> {
  const { stdout } = await vm.exec(['sh', '-c', check], { timeoutMs: 60_000 }).orThrow();
  const lines = stdout.trim().split('\n');
  return { wrong: lines.slice(0, -1), files: Number(lines.at(-1)) };
}

/** Once all three loops have got somewhere. */
export async function untilBusy(vm: Vm): Promise<Sight> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const sight = await lookInto(vm);
    if (sight.count > 5 && sight.tcp > 5) return sight;
    if (Date.now() > deadline) throw new Error(`The guest does not get going: ${JSON.stringify(sight)}`);
  }
}
