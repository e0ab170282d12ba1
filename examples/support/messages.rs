//! The messages of the validation layer, collected in a list for each device.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use ash::vk;

/// One message of the validation layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Whether this is an error; otherwise it is a warning.
    pub(crate) error: bool,
    /// Its name, such as `VUID-vkDestroyBuffer-buffer-00922`.
    pub(crate) id: String,
    /// The text.
    pub(crate) text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", if self.error { "error" } else { "warning" }, self.text)
    }
}

/// The messages of one instance, oldest first. If it is held longer than the device, it also
/// receives the messages of `vkDestroyDevice`.
#[derive(Debug, Default)]
pub(crate) struct Messages(Mutex<Vec<Message>>);

impl Messages {
    /// Removes and returns all messages.
    pub(crate) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of messages in the list.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn push(&self, message: Message) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
}

/// The create-info of the messenger. `messages` must outlive it.
pub(super) fn messenger_info(messages: &Messages) -> vk::DebugUtilsMessengerCreateInfoEXT<'static> {
    vk::DebugUtilsMessengerCreateInfoEXT::default()
        .message_severity(
            vk::DebugUtilsMessageSeverityFlagsEXT::WARNING
                | vk::DebugUtilsMessageSeverityFlagsEXT::ERROR,
        )
        .message_type(vk::DebugUtilsMessageTypeFlagsEXT::VALIDATION)
        .pfn_user_callback(Some(collect))
        .user_data(std::ptr::from_ref(messages).cast_mut().cast())
}

/// Called by the layer. It must not panic, because that would unwind into C.
unsafe extern "system" fn collect(
    severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    user: *mut c_void,
) -> vk::Bool32 {
    let words = |text: *const std::ffi::c_char| {
        if text.is_null() {
            String::new()
        } else {
            // SAFETY: a text of the layer that is not null is a C string and lives through the call.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        }
    };
    // SAFETY:
    // - `data` is what the layer passes, valid through the call.
    // - `user` is the `Messages` of `messenger_info`, which outlives the messenger; it is shared
    //   and locks itself.
    let (data, messages) = unsafe { (&*data, &*user.cast::<Messages>().cast_const()) };
    messages.push(Message {
        error: severity.contains(vk::DebugUtilsMessageSeverityFlagsEXT::ERROR),
        id: words(data.p_message_id_name),
        text: words(data.p_message),
    });
    vk::FALSE
}
