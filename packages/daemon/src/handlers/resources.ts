import {
  limitsStatusToWire,
  parseDuration,
  type ReclaimMemory,
  reclaimedToWire,
  resourcesToWire,
  standbyToWire,
} from '@vivarium/api';
import { VivError } from '@vivarium/model';
import type { Handler } from '../call.ts';
import { find } from './find.ts';

export const getResources: Handler = async ({ engine }) => resourcesToWire(await engine.resources.get());

export const reclaimMemory: Handler = async ({ engine, body, signal }) => {
  const { reclaim_bytes, dry_run, hold_for, reason } = body as ReclaimMemory;
  if (hold_for !== undefined && parseDuration(hold_for) > 0) {
    throw new VivError(
      'not_supported',
      'hold_for is not supported: guests have no balloon that could be held',
      {
        hint: 'Leave hold_for out. What is suspended stays so until it is used.',
      },
    );
  }
  return reclaimedToWire(
    await engine.resources.reclaimMemory({
      bytes: reclaim_bytes,
      signal,
      ...(dry_run === undefined ? {} : { dryRun: dry_run }),
      ...(reason === undefined ? {} : { reason }),
    }),
  );
};

export const instanceLimits: Handler = async (call) =>
  limitsStatusToWire(await (await find(call)).limits.get());

export const autoStandbyStatus: Handler = async (call) =>
  standbyToWire(await (await find(call)).standby.status());

export const autoStandbyHold: Handler = async (call) =>
  standbyToWire(await (await find(call)).standby.hold());
