import { VivError } from '@vivarium/model';

/** An image's name, taken apart and complete: nothing of it is implied any more. */
export interface Reference {
  /** Host and optional port as the person wrote it: `docker.io`, `localhost:5000`. */
  registry: string;
  /** Path below the registry: `library/busybox`. */
  repository: string;
  tag?: string;
  /** `sha256:` + 64 hex digits. Where both are there, the digest decides. */
  digest?: string;
}

// The grammar of distribution/reference, the one Docker and containerd use.
const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const domainName =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d{1,5})?$/;
const ipv6 = /^\[[0-9a-fA-F:]+\](?::\d{1,5})?$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

function invalid(text: string, why: string): VivError {
  return new VivError('invalid_reference', `Not an image reference: ${JSON.stringify(text)}: ${why}`, {
    hint: 'Write it as in busybox, debian:12, localhost:5000/app:1 or name@sha256:….',
  });
}

/** The first part of a name is a registry when it cannot be a user's name on Docker Hub. */
function splitRegistry(name: string): [registry: string, repository: string] {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  if (slash < 0 || (!/[.:[]/.test(first) && first !== 'localhost' && first === first.toLowerCase())) {
    return ['docker.io', name];
  }
  return [first, name.slice(slash + 1)];
}

/**
 * Parses as Docker does: `busybox` is `docker.io/library/busybox:latest`; with a digest no tag is implied.
 *
 * @throws VivError `invalid_reference`.
 */
export function parseReference(text: string): Reference {
  if (text === '' || text !== text.trim()) throw invalid(text, 'empty, or with blanks around it');
  if (text.length > 2048) throw invalid(`${text.slice(0, 60)}…`, 'too long');
  if (/^[0-9a-f]{64}$/.test(text)) throw invalid(text, 'a digest needs sha256: before it');
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  let name = at < 0 ? text : text.slice(0, at);
  if (digest !== undefined && !digestPattern.test(digest))
    throw invalid(text, 'the digest is not sha256: and 64 hex digits');

  const colon = name.lastIndexOf(':');
  let tag: string | undefined;
  if (colon > name.lastIndexOf('/')) {
    tag = name.slice(colon + 1);
    name = name.slice(0, colon);
    if (!tagPattern.test(tag)) throw invalid(text, 'the tag has a wrong character or is over 128 characters');
  }

  let [registry, repository] = splitRegistry(name);
  if (registry === 'index.docker.io') registry = 'docker.io';
  if (registry === 'docker.io' && !repository.includes('/')) repository = `library/${repository}`;
  const port = Number(/:(\d+)$/.exec(registry)?.[1] ?? 443);
  if ((!domainName.test(registry) && !ipv6.test(registry)) || port < 1 || port > 65_535) {
    throw invalid(text, `${JSON.stringify(registry)} is not a registry`);
  }
  if (repository.toLowerCase() !== repository) throw invalid(text, 'a repository is written in lower case');
  if (!repository.split('/').every((part) => component.test(part)) || repository.length > 255) {
    throw invalid(text, `${JSON.stringify(repository)} is not a repository`);
  }
  return {
    registry,
    repository,
    ...(tag || digest ? {} : { tag: 'latest' }),
    ...(tag ? { tag } : {}),
    ...(digest ? { digest } : {}),
  };
}

/** `docker.io/library/busybox:latest`, `localhost:5000/app@sha256:…`. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** @throws VivError `invalid_reference`. */
export function normalizeReference(text: string): string {
  return formatReference(parseReference(text));
}

/** True for `sha256:` with 4 to 64 hex digits, and for bare hex of that length: what {@link ImageStore.find} takes as a digest. */
export function digestPrefix(text: string): string | undefined {
  const match = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text);
  return match ? `sha256:${match[1]}` : undefined;
}
