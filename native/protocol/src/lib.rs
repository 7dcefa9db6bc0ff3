//! The wire between host and guest, as `docs/protocol.md` describes it: frames, CBOR bodies and credit windows.
//!
//! Nothing here does I/O, and nothing here trusts a byte it is given: a decoder never holds more than one frame.

mod credit;
mod decoder;
mod error;
mod fields;
mod frame;
mod value;

pub use credit::{Overrun, ReceiveWindow, SendWindow, GRANT_STEP, WINDOW};
pub use decoder::{Decoder, Frame};
pub use error::{Code, WireError};
pub use fields::Fields;
pub use frame::{encode, Header, HeaderError, Kind, HEADER_LEN, MAGIC, MAX_PAYLOAD, VERSION};
pub use value::{Value, ValueError, MAX_DEPTH};
