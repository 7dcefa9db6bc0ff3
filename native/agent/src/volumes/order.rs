//! What is asked about a volume: which disk is to be mounted, where and how. Nothing here looks at a disk or a mount.

use crate::configure::MERGED_ROOT;
use viv_protocol::{Code, Fields, WireError};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    ReadWrite,
    ReadOnly,
    /// Read-only, below a private layer.
    Overlay,
}

impl Mode {
    fn read(text: &str) -> Result<Mode, WireError> {
        match text {
            "rw" => Ok(Mode::ReadWrite),
            "ro" => Ok(Mode::ReadOnly),
            "overlay" => Ok(Mode::Overlay),
            _ => Err(invalid(format!("{text} is no mode of a volume"))),
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Mode::ReadWrite => "rw",
            Mode::ReadOnly => "ro",
            Mode::Overlay => "overlay",
        }
    }
}

/// What is to be mounted, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    pub(super) serial: String,
    pub(super) path: String,
    pub(super) mode: Mode,
    /// Name of the private layer.
    pub(super) layer: String,
    /// Below the image's root; else in the agent's own, for a guest that has no image.
    pub(super) in_image: bool,
}

impl Order {
    pub fn read(fields: &Fields<'_>, in_image: bool) -> Result<Order, WireError> {
        let (serial, path) = (fields.text("serial")?, fields.text("path")?);
        let mode = Mode::read(fields.text("mode")?)?;
        let layer = fields.text_if("layer")?.unwrap_or(serial);
        for name in [serial, layer] {
            if name.is_empty() || name.starts_with('.') || name.contains('/') {
                return Err(invalid(format!("{name:?} is no name of a volume")));
            }
        }
        if !path.starts_with('/') || path == "/" || path.contains('\0') {
            return Err(invalid(format!("{path:?} is no place for a volume")));
        }
        if mode == Mode::Overlay && !in_image {
            return Err(invalid("there is no disk for a private layer".to_owned()));
        }
        Ok(Order {
            serial: serial.to_owned(),
            path: path.to_owned(),
            mode,
            layer: layer.to_owned(),
            in_image,
        })
    }

    /// The root it is mounted below, in the agent's own namespace.
    pub(super) fn root(&self) -> &'static str {
        if self.in_image {
            MERGED_ROOT
        } else {
            "/"
        }
    }
}

fn invalid(message: String) -> WireError {
    WireError::new(Code::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use viv_protocol::Value;

    fn order(fields: Vec<(&str, &str)>) -> Result<Order, WireError> {
        let body = Value::map(
            fields
                .into_iter()
                .map(|(key, text)| (key, Value::from(text)))
                .collect(),
        );
        Order::read(&Fields(&body), true)
    }

    #[test]
    fn an_order_says_where_and_how() {
        let read = order(vec![("serial", "v1"), ("path", "/data"), ("mode", "ro")]).expect("whole");
        assert_eq!((read.root(), read.path.as_str()), ("/r", "/data"));
        assert_eq!((read.mode, read.layer.as_str()), (Mode::ReadOnly, "v1"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for (serial, path, mode) in [
            ("../x", "/data", "rw"),
            ("", "/data", "rw"),
            ("v1", "/", "rw"),
            ("v1", "data", "rw"),
            ("v1", "/data", "rwx"),
        ] {
            let refused = order(vec![("serial", serial), ("path", path), ("mode", mode)]);
            assert_eq!(
                refused.expect_err("refused").code,
                Code::InvalidRequest,
                "{serial} {path} {mode}"
            );
        }
    }
}
