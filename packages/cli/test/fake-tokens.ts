import {
  type CreateTokenOptions,
  type NewToken,
  type TokenInfo,
  type Tokens,
  VivError,
} from '@vivarium/model';

/** Tokens whose secret part is their id. */
export class FakeTokens implements Tokens {
  readonly asked: CreateTokenOptions[] = [];
  #all: TokenInfo[] = [];

  async create(options: CreateTokenOptions = {}): Promise<NewToken> {
    this.asked.push(options);
    const { name, scopes = ['*'], expiresInSeconds = 30 * 86_400 } = options;
    const now = Date.now();
    const info: TokenInfo = {
      id: `${this.#all.length + 1}0000000`,
      scopes,
      createdAt: new Date(now).toISOString(),
      ...(name === undefined ? {} : { name }),
      ...(expiresInSeconds === null
        ? {}
        : { expiresAt: new Date(now + expiresInSeconds * 1000).toISOString() }),
    };
    this.#all.unshift(info);
    return { ...info, token: `jwt-${info.id}` };
  }

  async list(): Promise<TokenInfo[]> {
    return this.#all;
  }

  async revoke(id: string): Promise<void> {
    const found = this.#all.find((token) => token.id.startsWith(id));
    if (found === undefined) throw new VivError('not_found', `There is no token ${id}`);
    this.#all = this.#all.map((token) =>
      token === found ? { ...token, revokedAt: new Date().toISOString() } : token,
    );
  }
}
