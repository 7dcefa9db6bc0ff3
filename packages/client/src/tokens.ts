import type { NewToken as NewTokenWire, Token } from '@vivarium/api';
import { createTokenToWire, newTokenFromWire, tokenFromWire } from '@vivarium/api/wire';
import type { AskOptions, CreateTokenOptions, NewToken, TokenInfo, Tokens } from '@vivarium/model';
import type { Transport } from './transport.ts';

export class RemoteTokens implements Tokens {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async create({ signal, ...options }: CreateTokenOptions & AskOptions = {}): Promise<NewToken> {
    const send = { json: createTokenToWire(options), signal };
    return newTokenFromWire((await this.#transport.json<NewTokenWire>('createToken', send)).value);
  }

  async list({ signal }: AskOptions = {}): Promise<TokenInfo[]> {
    return (await this.#transport.json<Token[]>('listTokens', { signal })).value.map(tokenFromWire);
  }

  async revoke(id: string, { signal }: AskOptions = {}): Promise<void> {
    await this.#transport.json('revokeToken', { params: { id }, signal });
  }
}
