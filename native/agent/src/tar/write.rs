use super::{padding, BLOCK};

/// The end mark: two empty blocks.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// What a header says.
pub struct Meta<'a> {
    /// The type as in the header: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` FIFO.
    pub kind: u8,
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub size: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub device: (u32, u32),
}

/// Largest number of 7 and of 11 octal digits.
const OCTAL_7: u64 = 0o7_777_777;
const OCTAL_11: u64 = 0o77_777_777_777;

/// A header, with a PAX header before it for what the old format cannot say.
pub fn header(meta: &Meta<'_>) -> Vec<u8> {
    let records = records(meta);
    let mut out = Vec::with_capacity(3 * BLOCK);
    if !records.is_empty() {
        let extra = Meta {
            kind: b'x',
            name: b"PaxHeader",
            link: b"",
            size: records.len() as u64,
            mode: 0o644,
            mtime: (0, 0),
            uid: 0,
            gid: 0,
            ..*meta
        };
        out.extend_from_slice(&block(&extra));
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    out.extend_from_slice(&block(meta));
    out
}

fn records(meta: &Meta<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let (seconds, nanos) = meta.mtime;
    let mut add = |wanted: bool, key: &str, value: &[u8]| {
        if wanted {
            record(&mut out, key, value);
        }
    };
    add(meta.name.len() > 100, "path", meta.name);
    add(meta.link.len() > 100, "linkpath", meta.link);
    add(
        meta.size > OCTAL_11,
        "size",
        meta.size.to_string().as_bytes(),
    );
    add(
        u64::from(meta.uid) > OCTAL_7,
        "uid",
        meta.uid.to_string().as_bytes(),
    );
    add(
        u64::from(meta.gid) > OCTAL_7,
        "gid",
        meta.gid.to_string().as_bytes(),
    );
    let time = if seconds < 0 && nanos > 0 {
        format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)
    } else {
        format!("{seconds}.{nanos:09}")
    };
    add(
        nanos != 0 || seconds < 0 || seconds as u64 > OCTAL_11,
        "mtime",
        time.as_bytes(),
    );
    out
}

/// Its length counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    // What does not fit is in the PAX header, and this number is not looked at.
    if text.len() == digits {
        field[..digits].copy_from_slice(text.as_bytes());
    } else {
        field[..digits].fill(b'0');
    }
}

fn block(meta: &Meta<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name = &meta.name[..meta.name.len().min(100)];
    let link = &meta.link[..meta.link.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    octal(&mut block[100..108], u64::from(meta.mode));
    octal(&mut block[108..116], u64::from(meta.uid));
    octal(&mut block[116..124], u64::from(meta.gid));
    octal(&mut block[124..136], meta.size);
    octal(
        &mut block[136..148],
        u64::try_from(meta.mtime.0).unwrap_or(0),
    );
    block[156] = meta.kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], u64::from(meta.device.0));
    octal(&mut block[337..345], u64::from(meta.device.1));
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_length_counts_itself() {
        for length in [1, 90, 91, 92, 93, 94, 95, 989, 990, 991] {
            let mut out = Vec::new();
            record(&mut out, "path", &vec![b'x'; length]);
            let text = String::from_utf8(out).expect("text");
            let told: usize = text
                .split(' ')
                .next()
                .expect("length")
                .parse()
                .expect("number");
            assert_eq!(told, text.len());
        }
    }

    #[test]
    fn a_short_name_with_whole_seconds_needs_one_block() {
        let meta = Meta {
            kind: b'0',
            name: b"a",
            link: b"",
            size: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (5, 0),
            device: (0, 0),
        };
        assert_eq!(header(&meta).len(), BLOCK);
        assert_eq!(
            header(&Meta {
                mtime: (5, 1),
                ..meta
            })
            .len(),
            3 * BLOCK
        );
    }
}
