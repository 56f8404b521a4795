//! The headers of a message.

use std::ffi::CStr;
use std::{ptr, slice};

use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_message_headers};
use rdkafka::message::BorrowedMessage;

/// A message's headers, a name that is not UTF-8 with replacement characters.
///
/// By the C functions, because rdkafka's own reading of them panics on such a name.
pub fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut list = ptr::null_mut();
    // SAFETY: the message is alive, and the list that librdkafka hands out belongs to it.
    if unsafe { rd_kafka_message_headers(message.ptr(), &mut list) } as i32 != 0 {
        return found;
    }
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: `list` is the message's list; an index behind its end is an error code.
    while unsafe { rd_kafka_header_get_all(list, found.len(), &mut name, &mut value, &mut size) } as i32 == 0
    {
        // SAFETY: the call succeeded, so `name` is a C string of the message.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        let value = match value.is_null() {
            true => &[],
            // SAFETY: as above, `value` has `size` bytes.
            false => unsafe { slice::from_raw_parts(value.cast::<u8>(), size) },
        };
        found.push((name, value.to_vec()));
    }
    found
}
