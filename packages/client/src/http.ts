import type { Agent, ClientRequest } from 'node:http';
import type { AgentOptions, RequestOptions } from 'node:https';
import type { Address } from './transport.ts';

interface Http {
  Agent: new (options: AgentOptions) => Agent;
  request(options: RequestOptions): ClientRequest;
}

/**
 * Node's HTTP for an address. Not imported: an import of `node:http` evaluates all it exports, among it a WebSocket with all
 * of undici and TLS behind it, and TLS reads every certificate that the system trusts. That is as much processor time as
 * Node takes to start.
 */
export function httpFor(address: Address): Http {
  return process.getBuiltinModule(isTls(address) ? 'node:https' : 'node:http');
}

export function isTls(address: Address): address is Extract<Address, { url: URL }> {
  return 'url' in address && address.url.protocol === 'https:';
}

/** What is trusted besides the system's certificates, for an agent or for a request without one. */
export function trust(address: Address): { ca?: string } {
  return isTls(address) && address.ca !== undefined ? { ca: address.ca } : {};
}
