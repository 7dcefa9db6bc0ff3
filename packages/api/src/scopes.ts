/**
 * Every scope there is, as hypeman names them (`resource:action`); those it does not have are ours: `exec`, `pool`,
 * `template`, `token` and `resource:write`. What a route needs stands in its rule.
 */
export const scopes = {
  'instance:read': 'Look at instances, their logs, statistics, events and operations.',
  'instance:exec':
    'Go inside: run commands, read and write files, console, tunnels. `instance:write` has it too.',
  'instance:write': 'Make, change, start, stop, suspend and copy instances.',
  'instance:delete': 'Delete instances.',
  'image:read': 'Look at images.',
  'image:write': 'Pull, import and tag images.',
  'image:delete': 'Remove images.',
  'volume:read': 'Look at volumes.',
  'volume:write': 'Make, change, attach and detach volumes.',
  'volume:delete': 'Delete volumes.',
  'snapshot:read': 'Look at snapshots and their schedules.',
  'snapshot:write': 'Take snapshots, restore them, make instances of them, set schedules.',
  'snapshot:delete': 'Delete snapshots and schedules.',
  'template:read': 'Look at templates.',
  'template:write': 'Make templates.',
  'template:delete': 'Delete templates.',
  'pool:read': 'Look at pools and their events.',
  'pool:write': 'Make pools, acquire and release their VMs.',
  'pool:delete': 'Delete pools.',
  'resource:read': 'What the host can do, has and uses.',
  'resource:write': 'Change the daemon itself: restore its database, have it read files of its host.',
  'token:read': 'List tokens.',
  'token:write': 'Make tokens, with no more scopes than one’s own.',
  'token:delete': 'Revoke tokens.',
} as const;

export type Scope = keyof typeof scopes;

const names = Object.keys(scopes) as Scope[];

/** What has another scope in it. */
const contains: Partial<Record<Scope, readonly Scope[]>> = { 'instance:write': ['instance:exec'] };

/** Whether a token may be given this: a scope, all of a resource (`instance:*`), or everything (`*`). */
export function isGrant(text: string): boolean {
  return text === '*' || names.some((name) => name === text || wildcardOf(name) === text);
}

/** Whether these grants allow what needs a scope. What nobody knows among them allows nothing. */
export function allows(grants: readonly string[], needed: Scope): boolean {
  return names.some(
    (name) =>
      (name === needed || contains[name]?.includes(needed) === true) &&
      (grants.includes('*') || grants.includes(name) || grants.includes(wildcardOf(name))),
  );
}

/** The first of `asked` that goes beyond `own`. A wildcard is only within a wildcard: it also allows what is still to come. */
export function beyond(own: readonly string[], asked: readonly string[]): string | undefined {
  return asked.find((grant) => {
    if (own.includes('*') || own.includes(grant)) return false;
    return grant === '*' || grant.endsWith(':*') || !allows(own, grant as Scope);
  });
}

function wildcardOf(scope: Scope): string {
  return `${scope.slice(0, scope.indexOf(':'))}:*`;
}
