#![no_main]

use std::panic::{PanicHookInfo, set_hook};

libfuzzer_sys::fuzz_target!(init: set_hook(Box::new(tell)), |data: &[u8]| millpond_fuzz::stored::run(data));

/// In the place of libFuzzer's hook, which ends the process: tantivy's panics over foreign bytes are caught where they are
/// read, and only one that gets out is a finding.
fn tell(panic: &PanicHookInfo<'_>) {
    if !panic.location().is_some_and(|location| location.file().contains("tantivy")) {
        eprintln!("{panic}");
    }
}
