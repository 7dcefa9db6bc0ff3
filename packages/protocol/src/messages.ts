import { Buffer } from 'node:buffer';
import { decodeBody, encodeBody } from './cbor.ts';
import { Fields } from './fields.ts';
import { protocolVersion } from './frame.ts';
import { ProtocolError } from './protocol-error.ts';

/** The host's greeting. */
export interface Hello {
  versions: number[];
  /** Who speaks: `vivarium/0.1.0`. */
  host: string;
}

/** The guest's answer to {@link Hello}; version 0 where it speaks none of those offered. */
export interface Welcome {
  version: number;
  agent: string;
  bootId: string;
  generation: number;
  features: string[];
}

export interface Request {
  method: string;
  params: Fields;
}

/** An error as it travels in a response or a reset. */
export interface WireError {
  code: string;
  message: string;
  errno?: number;
  /** Of `boot_failed`: where the boot stopped. */
  stage?: string;
}

export type Response = { ok: true; result: Fields } | { ok: false; error: WireError };

export interface EventMessage {
  name: string;
  fields: Fields;
}

export const encodeHello = (host: string): Buffer => encodeBody({ versions: [protocolVersion], host });

export function decodeHello(payload: Uint8Array): Hello {
  const fields = new Fields(decodeBody(payload), 'HELLO');
  return { versions: fields.uints('versions'), host: fields.text('host') };
}

export const encodeWelcome = (welcome: Welcome): Buffer => encodeBody(welcome);

export function decodeWelcome(payload: Uint8Array): Welcome {
  const fields = new Fields(decodeBody(payload), 'WELCOME');
  return {
    version: fields.uint('version'),
    agent: fields.text('agent'),
    bootId: fields.text('bootId'),
    generation: fields.uint('generation'),
    features: fields.texts('features'),
  };
}

/** Parameters whose value is undefined are left out. */
export const encodeRequest = (method: string, params: object): Buffer => encodeBody({ m: method, p: params });

export function decodeRequest(payload: Uint8Array): Request {
  const fields = new Fields(decodeBody(payload), 'REQUEST');
  return { method: fields.text('m'), params: fields.map('p') };
}

export const encodeResult = (result: object): Buffer => encodeBody({ ok: true, r: result });
export const encodeFailure = (error: WireError): Buffer => encodeBody({ ok: false, e: error });

export function decodeResponse(payload: Uint8Array): Response {
  const fields = new Fields(decodeBody(payload), 'RESPONSE');
  if (fields.bool('ok')) return { ok: true, result: fields.map('r') };
  return { ok: false, error: readError(fields.map('e')) };
}

export const encodeEvent = (name: string, fields: object): Buffer => encodeBody({ ...fields, e: name });

export function decodeEvent(payload: Uint8Array): EventMessage {
  const fields = new Fields(decodeBody(payload), 'EVENT');
  return { name: fields.text('e'), fields };
}

export const encodeReset = (error: WireError): Buffer => encodeBody(error);
export const decodeReset = (payload: Uint8Array): WireError =>
  readError(new Fields(decodeBody(payload), 'RESET'));

export function encodeCredit(bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(bytes);
  return payload;
}

export function decodeCredit(payload: Buffer): number {
  if (payload.length !== 4) throw new ProtocolError('malformed', `CREDIT has ${payload.length} bytes, not 4`);
  return payload.readUInt32LE(0);
}

function readError(fields: Fields): WireError {
  const error: WireError = { code: fields.text('code'), message: fields.text('message') };
  // A field that only helps a reader is no reason to refuse the error it belongs to.
  if (fields.has('errno')) error.errno = Number(fields.bigint('errno'));
  if (fields.has('stage')) error.stage = fields.text('stage');
  return error;
}
