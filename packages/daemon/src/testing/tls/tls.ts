import { readFileSync } from 'node:fs';

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** A certificate for localhost, 127.0.0.1 and vms.test that signs itself, and its key: known to everybody, good for tests only. */
export const testTls = { cert: read('cert.pem'), key: read('key.pem') };
