import type { NewToken as NewTokenWire, Token } from '@vivarium/api';
import { createTokenToWire, newTokenFromWire, tokenFromWire } from '@vivarium/api/wire';
import type { CreateTokenOptions, NewToken, TokenInfo, Tokens } from '@vivarium/model';
import type { Transport } from './transport.ts';

export class RemoteTokens implements Tokens {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async create(options: CreateTokenOptions = {}): Promise<NewToken> {
    const json = createTokenToWire(options);
    return newTokenFromWire((await this.#transport.json<NewTokenWire>('createToken', { json })).value);
  }

  async list(): Promise<TokenInfo[]> {
    return (await this.#transport.json<Token[]>('listTokens')).value.map(tokenFromWire);
  }

  async revoke(id: string): Promise<void> {
    await this.#transport.json('revokeToken', { params: { id } });
  }
}
