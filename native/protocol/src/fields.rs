use crate::error::{Code, WireError};
use crate::value::Value;

/// Reads the parameters of a request: what is missing or of a wrong kind is `invalid_request` and names the field.
#[derive(Clone, Copy)]
pub struct Fields<'a>(pub &'a Value);

type Read<T> = Result<T, WireError>;

impl<'a> Fields<'a> {
    /// Null counts as absent.
    fn find(&self, key: &str) -> Option<&'a Value> {
        self.0
            .get(key)
            .filter(|value| !matches!(value, Value::Null))
    }

    fn need<T>(found: Option<T>, key: &str) -> Read<T> {
        found.ok_or_else(|| {
            WireError::new(Code::InvalidRequest, format!("the field {key} is missing"))
        })
    }

    fn wrong(key: &str, wanted: &str) -> WireError {
        WireError::new(
            Code::InvalidRequest,
            format!("the field {key} is not {wanted}"),
        )
    }

    pub fn text_if(&self, key: &str) -> Read<Option<&'a str>> {
        match self.find(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Self::wrong(key, "text")),
        }
    }

    pub fn text(&self, key: &str) -> Read<&'a str> {
        Self::need(self.text_if(key)?, key)
    }

    pub fn uint_if(&self, key: &str) -> Read<Option<u64>> {
        match self.find(key) {
            None => Ok(None),
            Some(Value::Int(number)) => match u64::try_from(*number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Self::wrong(key, "a natural number of 64 bits")),
            },
            Some(_) => Err(Self::wrong(key, "an integer")),
        }
    }

    pub fn uint(&self, key: &str) -> Read<u64> {
        Self::need(self.uint_if(key)?, key)
    }

    /// An integer of at most `T`'s width.
    pub fn small<T: TryFrom<u64>>(&self, key: &str) -> Read<T> {
        T::try_from(self.uint(key)?).map_err(|_| Self::wrong(key, "in range"))
    }

    pub fn flag_if(&self, key: &str) -> Read<Option<bool>> {
        match self.find(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Self::wrong(key, "true or false")),
        }
    }

    pub fn flag(&self, key: &str) -> Read<bool> {
        Self::need(self.flag_if(key)?, key)
    }

    pub fn bytes(&self, key: &str) -> Read<&'a [u8]> {
        match Self::need(self.find(key), key)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Self::wrong(key, "bytes")),
        }
    }

    pub fn texts_if(&self, key: &str) -> Read<Option<Vec<String>>> {
        self.find(key).map(|_| self.texts(key)).transpose()
    }

    pub fn texts(&self, key: &str) -> Read<Vec<String>> {
        let Value::Array(items) = Self::need(self.find(key), key)? else {
            return Err(Self::wrong(key, "a list"));
        };
        let text = |item: &Value| match item {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(Self::wrong(key, "a list of texts")),
        };
        items.iter().map(text).collect()
    }

    /// A map of text to text; absent is empty.
    pub fn pairs(&self, key: &str) -> Read<Vec<(String, String)>> {
        let Some(value) = self.find(key) else {
            return Ok(Vec::new());
        };
        let Value::Map(fields) = value else {
            return Err(Self::wrong(key, "a map"));
        };
        let pair = |(name, value): &(String, Value)| match value {
            Value::Text(text) => Ok((name.clone(), text.clone())),
            _ => Err(Self::wrong(key, "a map of texts")),
        };
        fields.iter().map(pair).collect()
    }

    pub fn inner_if(&self, key: &str) -> Read<Option<Fields<'a>>> {
        match self.find(key) {
            None => Ok(None),
            Some(map @ Value::Map(_)) => Ok(Some(Fields(map))),
            Some(_) => Err(Self::wrong(key, "a map")),
        }
    }

    pub fn inner(&self, key: &str) -> Read<Fields<'a>> {
        Self::need(self.inner_if(key)?, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_wrong_fields_are_named() {
        let body = Value::map(vec![
            ("rows", Value::from(-1i64)),
            ("id", Value::from("x")),
            ("null", Value::Null),
        ]);
        let fields = Fields(&body);
        assert_eq!(fields.text("id"), Ok("x"));
        assert_eq!(fields.text_if("null"), Ok(None));
        for error in [
            fields.text("path").unwrap_err(),
            fields.uint("rows").unwrap_err(),
            fields.flag("id").unwrap_err(),
        ] {
            assert_eq!(error.code, Code::InvalidRequest);
        }
        assert!(fields.text("path").unwrap_err().message.contains("path"));
    }
}
