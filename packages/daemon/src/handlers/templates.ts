import { type Freed, templateToWire, type WarmTemplates, warmFromWire } from '@vivarium/api';
import type { TemplateInfo } from '@vivarium/model';
import type { Handler } from '../call.ts';
import { longCall } from '../stream.ts';

const toWire = (found: TemplateInfo[]) => found.map(templateToWire);

export const listTemplates: Handler = async ({ engine }) => toWire(await engine.templates.list());

export const warmTemplates: Handler = async (call) => {
  const options = warmFromWire(call.body as WarmTemplates);
  return longCall(call, (inner) => call.engine.templates.warm({ ...options, ...inner }), toWire);
};

export const deleteTemplates: Handler = async ({ engine }): Promise<Freed> => ({
  freed_bytes: (await engine.templates.clear()).freedBytes,
});

export const deleteTemplate: Handler = async ({ engine, params }): Promise<Freed> => ({
  freed_bytes: (await engine.templates.remove(params.id ?? '')).freedBytes,
});
