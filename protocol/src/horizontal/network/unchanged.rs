//! What stays as it is for many rounds.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _, ser::Error as _};

/// A value that is cloned and written often and never changes. In JSON it is the value; in a compact form it is its JSON text,
/// which is made once.
#[derive(Clone, Debug)]
pub struct Unchanged<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: T,
    json: OnceLock<String>,
}

impl<T> From<T> for Unchanged<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(Inner { value, json: OnceLock::new() }))
    }
}

impl<T> std::ops::Deref for Unchanged<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Clone> Unchanged<T> {
    /// The value, for whoever is to own it.
    pub fn into_inner(self) -> T {
        Arc::try_unwrap(self.0).map_or_else(|shared| shared.value.clone(), |inner| inner.value)
    }
}

impl<T> Unchanged<T> {
    /// True if both are clones of one value; values that are equal may still be two.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: PartialEq> PartialEq for Unchanged<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || self.0.value == other.0.value
    }
}

impl<T: Serialize> Serialize for Unchanged<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.value.serialize(serializer);
        }
        if let Some(json) = self.0.json.get() {
            return serializer.serialize_str(json);
        }
        let json = serde_json::to_string(&self.0.value).map_err(S::Error::custom)?;
        serializer.serialize_str(self.0.json.get_or_init(|| json))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Unchanged<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return T::deserialize(deserializer).map(Self::from);
        }
        let json = String::deserialize(deserializer)?;
        let value = serde_json::from_str(&json).map_err(D::Error::custom)?;
        Ok(Self(Arc::new(Inner { value, json: OnceLock::from(json) })))
    }
}
