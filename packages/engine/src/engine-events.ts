import {
  type EventOptions,
  type EventResource,
  type ImageInfo,
  isVivError,
  type SnapshotInfo,
  type TemplateInfo,
} from '@vivarium/model';
import type { Context } from './instances/context.ts';
import type { ReadOptions } from './store/events.ts';

/** What is to be read, with the instance looked up: one that has been deleted is known to its events. @throws VivError `not_found`. */
export function readOptions(context: Context, options: EventOptions): ReadOptions {
  const { instance, ...rest } = options;
  if (instance === undefined) return rest;
  try {
    return { ...rest, instanceId: context.instances.find(instance).id };
  } catch (error) {
    const instanceId = isVivError(error, 'not_found') ? context.events.idOf(instance) : undefined;
    if (instanceId === undefined) throw error;
    return { ...rest, instanceId };
  }
}

export function daemonResource(program: string): EventResource {
  return { kind: 'daemon', id: program, name: program };
}

export function templateResource({ id, image }: TemplateInfo): EventResource {
  return { kind: 'template', id, name: image?.reference ?? id };
}

export function instanceResource({ id, name }: { id: string; name: string }): EventResource {
  return { kind: 'instance', id, name };
}

export function imageResource({ digest, references }: ImageInfo): EventResource {
  return { kind: 'image', id: digest, name: references[0] ?? digest };
}

export function volumeResource({ id, name }: { id: string; name: string }): EventResource {
  return { kind: 'volume', id, name };
}

export function snapshotResource({ id, name }: SnapshotInfo): EventResource {
  return { kind: 'snapshot', id, name };
}
