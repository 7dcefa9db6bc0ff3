import { VivError, type VolumeMode, type VolumeMount } from '@vivarium/model';

const modes: readonly string[] = ['rw', 'ro', 'overlay'] satisfies VolumeMode[];

/** `NAME:/path`, and how: `:rw`, `:ro` or `:overlay`. */
export function parseVolume(spec: string): VolumeMount {
  const [volume = '', path = '', mode, ...rest] = spec.split(':');
  const known = mode === undefined || modes.includes(mode);
  if (volume === '' || !path.startsWith('/') || !known || rest.length > 0)
    throw new VivError('invalid_request', `Not a volume to attach: ${JSON.stringify(spec)}`, {
      hint: 'Use NAME:/PATH, NAME:/PATH:ro or NAME:/PATH:overlay, as in data:/var/lib/app.',
    });
  return { volume, path, ...(mode === undefined ? {} : { mode: mode as VolumeMode }) };
}
