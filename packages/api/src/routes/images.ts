import Type from 'typebox';
import { StringMap } from '../schemas/basic.ts';
import { CreateImage, Image, TagImage } from '../schemas/image.ts';
import type { RouteRule } from './route.ts';

const pullErrors = [
  'invalid_reference',
  'image_not_found',
  'image_invalid',
  'image_hostile',
  'registry_unreachable',
  'registry_denied',
  'disk_full',
  'cancelled',
] as const;

export const imageRules = {
  createImage: {
    summary: 'Pull an image; answers at once, or with progress until it is ready',
    tag: 'images',
    scope: 'image:write',
    origin: 'hypeman',
    body: CreateImage,
    status: 202,
    answer: Image,
    progress: true,
    errors: ['not_supported', ...pullErrors],
  },
  listImages: {
    summary: 'All images, and pulls under way',
    tag: 'images',
    scope: 'image:read',
    origin: 'hypeman',
    query: Type.Object({
      tags: Type.Optional({ ...StringMap, description: 'tags[key]=value; all must match.' }),
    }),
    status: 200,
    answer: Type.Array(Image),
    errors: [],
  },
  importImage: {
    summary: 'Import an OCI layout or a docker save file, from the body or from a path of the daemon’s host',
    tag: 'images',
    scope: 'image:write',
    origin: 'vivarium',
    query: Type.Object({
      path: Type.Optional(
        Type.String({ description: 'Absolute, on the daemon’s host; the body is then empty.' }),
      ),
      reference: Type.Optional(Type.String({ description: 'Names the image where the archive does not.' })),
    }),
    body: { media: 'application/x-tar', description: 'The archive.' },
    bodyOptional: true,
    status: 200,
    answer: Type.Array(Image),
    progress: true,
    errors: ['path_not_found', 'archive_invalid', 'archive_hostile', ...pullErrors],
  },
  getImage: {
    summary: 'One image by reference, digest or digest prefix',
    tag: 'images',
    scope: 'image:read',
    origin: 'hypeman',
    status: 200,
    answer: Image,
    errors: ['image_not_found', 'invalid_reference', 'ambiguous'],
  },
  deleteImage: {
    summary: 'Remove a reference, and the image with its last one',
    tag: 'images',
    scope: 'image:delete',
    origin: 'hypeman',
    status: 204,
    progress: true,
    errors: ['image_not_found', 'invalid_reference', 'conflict'],
  },
  tagImage: {
    summary: 'Give an image another reference',
    tag: 'images',
    scope: 'image:write',
    origin: 'hypeman',
    body: TagImage,
    status: 200,
    answer: Image,
    errors: ['image_not_found', 'invalid_reference'],
  },
} satisfies Record<string, RouteRule>;
