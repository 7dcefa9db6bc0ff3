import Hypeman from '@onkernel/hypeman';
import { RealDaemon } from './real-daemon.ts';

/** A vivd with real VMs on TCP, and hypeman's official client of it, as its users configure it. */
export interface HypemanDaemon extends AsyncDisposable {
  readonly daemon: RealDaemon;
  readonly url: string;
  readonly token: string;
  readonly client: Hypeman;
}

export async function hypemanDaemon(): Promise<HypemanDaemon> {
  const token = 'a-token-of-this-test';
  const daemon = await RealDaemon.start({ token });
  const url = await daemon.url();
  return {
    daemon,
    url,
    token,
    client: new Hypeman({ baseURL: url, apiKey: token }),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}
