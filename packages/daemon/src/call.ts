import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Operation, Route } from '@vivarium/api';
import type { Engine } from '@vivarium/engine';
import type { Caller } from './auth/caller.ts';
import type { Tokens } from './auth/tokens.ts';
import type { Sessions } from './exec/sessions.ts';
import type { Patience } from './incoming.ts';
import type { DaemonLog } from './log.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { Pulls } from './pulls.ts';

/** What all requests share. */
export interface House {
  readonly engine: Engine;
  readonly version: string;
  /** Of the TCP listener, once it listens. */
  url: string | undefined;
  readonly log: DaemonLog | undefined;
  readonly sessions: Sessions;
  readonly pulls: Pulls;
  readonly metrics: Metrics;
  readonly tokens: Tokens;
  readonly patience: Patience;
  /** Fires when the daemon goes. */
  readonly closing: AbortSignal;
}

/** One request, taken apart and checked. */
export interface Call {
  readonly house: House;
  readonly engine: Engine;
  readonly route: Route;
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  // Checked against the route's schema before the handler sees it; the handler names the type.
  readonly query: unknown;
  readonly body: unknown;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Fires when the client has gone before its answer. */
  readonly signal: AbortSignal;
  /** Of a route that makes something. */
  readonly idempotencyKey: string | undefined;
  /** Whether the client asked for lines of JSON. */
  readonly lines: boolean;
  /** Added to the answer. */
  readonly headers: Record<string, string>;
}

/** The handler has written its answer itself. */
export const sent = Symbol('sent');

/** A body that is JSON already. */
export class JsonText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** It goes on by itself: the answer is 202. */
export class Accepted {
  readonly operation: Operation;
  constructor(operation: Operation) {
    this.operation = operation;
  }
}

/** Answers what becomes the JSON body; undefined for none. */
export type Handler = (call: Call) => Promise<unknown>;
