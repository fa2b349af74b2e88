//! A checked message, as a value.

/// A message whose every check has passed. Made only by the functions in this crate that check.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn after_checks(value: T) -> Self {
        Self(value)
    }

    /// The message.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
