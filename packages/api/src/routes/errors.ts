/* Errors that routes of several resources may answer. */

export const lookup = ['not_found', 'ambiguous'] as const;

/** Of any action on an instance. */
export const action = [...lookup, 'invalid_state', 'busy', 'cancelled', 'timeout'] as const;

/** Of anything that ends with a guest that is up. */
export const boot = [
  'boot_failed',
  'guest_panicked',
  'agent_unreachable',
  'vmm_missing',
  'vmm_failed',
  'assets_missing',
  'port_in_use',
  'insufficient_resources',
  'disk_full',
  'command_not_found',
  'command_not_executable',
  'user_not_found',
] as const;

/** Of anything that brings saved memory back. */
export const saved = ['saved_state_mismatch', 'saved_state_damaged'] as const;

/** Of anything that may have to get an image first. */
export const create = [
  'invalid_name',
  'invalid_size',
  'invalid_reference',
  'name_conflict',
  'image_not_ready',
  'image_not_found',
  'image_invalid',
  'image_hostile',
  'registry_unreachable',
  'registry_denied',
  'not_supported',
  'cancelled',
  ...boot,
] as const;

/** Of whatever asks something of a running guest. */
export const guest = [
  'not_found',
  'ambiguous',
  'invalid_state',
  'agent_unreachable',
  'protocol_error',
  'path_not_found',
  'guest_error',
  'timeout',
] as const;
