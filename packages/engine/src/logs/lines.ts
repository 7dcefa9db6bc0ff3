/** A line longer than this is given in pieces, so that a guest that never ends its line costs no more memory. */
const longest = 64 * 1024;

/** Cuts a stream of bytes into lines; bytes that are no UTF-8 become U+FFFD. */
export class LineSplitter {
  #rest: Buffer = Buffer.alloc(0);

  *push(chunk: Uint8Array): Generator<string> {
    let bytes = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = bytes.indexOf(10);
      if (end >= 0) {
        yield text(bytes.subarray(0, end));
        bytes = bytes.subarray(end + 1);
      } else if (bytes.length > longest) {
        yield text(bytes.subarray(0, longest));
        bytes = bytes.subarray(longest);
      } else break;
    }
    this.#rest = Buffer.from(bytes);
  }

  /** What is left without a line end. */
  *end(): Generator<string> {
    if (this.#rest.length > 0) yield text(this.#rest);
    this.#rest = Buffer.alloc(0);
  }
}

function text(line: Buffer): string {
  const end = line.at(-1) === 13 ? line.length - 1 : line.length;
  return line.toString('utf8', 0, end);
}
