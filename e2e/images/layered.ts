import { dir, hardLink, opaque, symlink, type TarEntry, text, whiteout } from './tar.ts';

/** `security.capability` as the kernel stores it, revision 2: CAP_CHOWN (bit 0), permitted and effective. */
const capChown = Buffer.from('0100000201000000000000000000000000000000', 'hex').toString('latin1');

export const longName = `srv/${'a-name-longer-than-one-hundred-bytes-'.repeat(4)}end`;

/**
 * Runs inside the image and says `OK`, or what is wrong. Every line checks one thing that layers can express and a
 * careless conversion loses.
 */
const check = `#!/bin/sh
bad=0
is() { [ "$2" = "$3" ] || { echo "$1: is '$2', should be '$3'"; bad=1; }; }
gone() { [ ! -e "$1" ] && [ ! -L "$1" ] || { echo "$1: still there"; bad=1; }; }
is 'replaced file' "$(cat /srv/replaced)" new
is 'file of the first layer' "$(cat /srv/kept)" kept
gone /srv/removed
gone /srv/removed-dir
is 'opaque directory' "$(ls /srv/opaque)" only
is 'directory removed and made again' "$(ls /srv/again)" second
is 'directory that was a file' "$(cat /srv/was-file/inside)" inside
is 'file that was a directory' "$(cat /srv/was-dir)" file
is 'link that was a directory' "$(readlink /srv/was-dir-too)" kept
is 'hard link' "$(stat -c %h /srv/one)" 3
is 'hard links share an inode' "$(stat -c %i /srv/one)" "$(stat -c %i /srv/two)"
is 'hard link to an older layer' "$(cat /srv/link-to-kept)" kept
is 'setuid' "$(stat -c %a /usr/bin/become-root)" 4755
is 'setgid' "$(stat -c %a /srv/setgid)" 2755
is 'sticky' "$(stat -c %a /tmp)" 1777
is 'owner' "$(stat -c %u:%g /srv/owned)" 1234:5678
is 'large owner' "$(stat -c %u:%g /srv/large-owner)" 3000000:3000001
is 'time' "$(stat -c %Y /srv/kept)" 1577934245
is 'name' "$(cat '/srv/grüße – 你好')" hello
is 'long name' "$(cat '/${longName}')" long
is 'fifo' "$(stat -c %F /srv/fifo)" fifo
is 'device' "$(stat -c %t:%T /srv/null)" 1:3
is 'setuid works' "$(su -s /bin/sh nobody -c /usr/bin/become-root)" 0
touch /tmp/owned-by-root
su -s /bin/sh nobody -c '/usr/bin/capable /tmp/owned-by-root'
is 'capability works' "$(stat -c %u:%g /tmp/owned-by-root)" 7:7
[ "$bad" = 0 ] && echo OK
exit "$bad"
`;

/** Says who it runs as, or gives a file away: what setuid and CAP_CHOWN are for. Static, to run in any image. */
export const privilegedProgram = `
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc > 1) return chown(argv[1], 7, 7) == 0 ? 0 : 1;
  return printf("%d\\n", (int)geteuid()) < 0;
}
`;

/** Eleven layers over the busybox layer (which is not among them), with all that an OCI layer can express.
 * `program` is `privilegedProgram`, compiled. */
export function layeredLayers(program: Buffer): TarEntry[][] {
  return [
    [
      dir('srv'),
      ...['kept', 'removed', 'replaced', 'was-file'].map((name) => text(`srv/${name}`, name)),
      ...['removed-dir', 'opaque', 'again', 'was-dir', 'was-dir-too'].flatMap((name) => [
        dir(`srv/${name}`),
        text(`srv/${name}/first`, 'first'),
      ]),
    ],
    [text('srv/replaced', 'new')],
    [whiteout('srv/removed'), whiteout('srv/removed-dir')],
    [dir('srv/opaque'), opaque('srv/opaque'), text('srv/opaque/only', 'only')],
    [whiteout('srv/again')],
    [dir('srv/again'), text('srv/again/second', 'second')],
    [
      dir('srv/was-file'),
      text('srv/was-file/inside', 'inside'),
      text('srv/was-dir', 'file'),
      symlink('srv/was-dir-too', 'kept'),
    ],
    [text('srv/one', 'linked'), hardLink('srv/two', 'srv/one'), hardLink('srv/three', 'srv/one')],
    [
      // Docker writes a link to a file of a lower layer together with the file.
      text('srv/kept', 'kept'),
      hardLink('srv/link-to-kept', 'srv/kept'),
      { ...dir('srv/setgid', 0o2755) },
      { ...text('srv/owned', 'owned'), uid: 1234, gid: 5678 },
      {
        ...text('srv/large-owner', 'owned'),
        uid: 3_000_000,
        gid: 3_000_001,
        pax: { uid: '3000000', gid: '3000001' },
      },
      { name: 'srv/fifo', type: 'fifo', mode: 0o644 },
      { name: 'srv/null', type: 'character-device', mode: 0o666, devmajor: 1, devminor: 3 },
    ],
    [
      dir('usr'),
      dir('usr/bin'),
      { name: 'usr/bin/become-root', body: program, mode: 0o4755 },
      {
        name: 'usr/bin/capable',
        body: program,
        mode: 0o755,
        pax: { 'SCHILY.xattr.security.capability': capChown },
      },
    ],
    [
      text('srv/grüße – 你好', 'hello'),
      { ...text(longName, 'long'), pax: { path: longName } },
      text('check', check, 0o755),
    ],
  ];
}
