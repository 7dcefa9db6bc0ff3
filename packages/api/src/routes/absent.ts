/**
 * hypeman's routes that are not there yet, by what they would need. Each answers 501 `not_supported` naming it, so that its
 * official client meets no 404 that would look like a missing thing. A row goes when its route comes.
 */
const absent = {
  'Device passthrough': [
    'GET /devices',
    'POST /devices',
    'GET /devices/available',
    'GET /devices/{id}',
    'DELETE /devices/{id}',
  ],
  Ingress: ['GET /ingresses', 'POST /ingresses', 'GET /ingresses/{id}', 'DELETE /ingresses/{id}'],
  'Image builders': [
    'GET /builders',
    'POST /builders',
    'GET /builders/{id}',
    'DELETE /builders/{id}',
    'POST /builders/{id}/prune',
  ],
  'Image builds': [
    'GET /builds',
    'POST /builds',
    'GET /builds/{id}',
    'DELETE /builds/{id}',
    'GET /builds/{id}/events',
  ],
  'Pushing images': ['GET /pushes', 'POST /pushes', 'GET /pushes/{id}'],
} as const;

export interface AbsentRoute {
  readonly method: string;
  /** Segments in braces are parameters. */
  readonly path: string;
  /** What it would need, as the beginning of a sentence. */
  readonly what: string;
}

export const absentRoutes: readonly AbsentRoute[] = Object.entries(absent).flatMap(([what, rows]) =>
  rows.map((row) => {
    const [method = '', path = ''] = row.split(' ');
    return { method, path, what };
  }),
);
