//! Memory that the system gives and takes, without an allocator between.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

/// Zeroed memory; it is freed with this.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    bytes: usize,
    /// What was asked of the system: some more, where the start had to be found in it.
    whole: (NonNull<u8>, usize),
}

// SAFETY: it is memory, which belongs to no thread. Who reads and writes in it is up to those who ask for its start.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// A huge page of most machines. Regions that are to have some begin at one.
const HUGE_PAGE: usize = 2 << 20;

impl Region {
    /// Memory in huge pages, where the system has them and they fit in.
    ///
    /// # Panics
    /// There is no memory, as an allocation ends the process.
    pub fn huge(bytes: usize) -> Region {
        Region::new(bytes, if bytes >= HUGE_PAGE { HUGE_PAGE } else { 0 })
    }

    /// Memory in small pages, of which those are used that are written to.
    ///
    /// # Panics
    /// As [`Region::huge`].
    pub fn small(bytes: usize) -> Region {
        Region::new(bytes, 0)
    }

    fn new(bytes: usize, spare: usize) -> Region {
        let (whole, mapped) = (system::map(bytes + spare), bytes + spare);
        let Ok(whole) = whole else {
            panic!("no memory for {bytes} bytes of vectors")
        };
        let skipped = match spare {
            0 => 0,
            _ => whole.as_ptr().align_offset(HUGE_PAGE),
        };
        // SAFETY: fewer than `HUGE_PAGE` bytes are skipped, and as many more were asked for.
        let start = unsafe { whole.add(skipped) };
        if spare > 0 {
            system::ask_for_huge_pages(start, bytes);
        }
        Region {
            start,
            bytes,
            whole: (whole, mapped),
        }
    }

    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a part of a file, which begins at a whole page, in the place of the memory, which is given back. Nobody can
    /// write to it any more.
    ///
    /// # Safety
    /// The file has the same bytes there, and keeps those that anybody refers to. Nobody writes to the region from now on.
    pub unsafe fn replace(&self, file: &File, offset: u64) -> io::Result<()> {
        // SAFETY: the pages are this region's own. The system changes them at once for all threads: who reads meanwhile
        // reads the old page or the new one, of the same bytes.
        unsafe { system::map_file(self.start, self.bytes, file, offset) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let (start, bytes) = self.whole;
        // SAFETY: all of this was mapped at once by `new`, and nobody has it any more.
        unsafe { system::unmap(start, bytes) };
    }
}

#[cfg(not(miri))]
mod system {
    use std::fs::File;
    use std::io;
    use std::ptr::{self, NonNull};

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

    pub fn map(bytes: usize) -> io::Result<NonNull<u8>> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: new memory, which takes the place of none.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE)? };
        NonNull::new(start.cast()).ok_or_else(|| io::Error::other("a region at zero"))
    }

    pub fn ask_for_huge_pages(start: NonNull<u8>, bytes: usize) {
        #[cfg(target_os = "linux")]
        // SAFETY: the advice changes nothing in the pages.
        if let Err(error) = unsafe { madvise(start.as_ptr().cast(), bytes, Advice::LinuxHugepage) } {
            tracing::debug!(%error, "small pages");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, bytes);
    }

    /// # Safety
    /// That of [`super::Region::replace`]; whole pages from `start` on are the caller's.
    pub unsafe fn map_file(start: NonNull<u8>, bytes: usize, file: &File, offset: u64) -> io::Result<()> {
        let start = start.as_ptr().cast();
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the caller's. What can fail (too many mappings) fails before the old pages are gone.
        unsafe { mmap(start, bytes, ProtFlags::READ, flags, file, offset)? };
        // SAFETY: the advice changes nothing in the pages.
        if let Err(error) = unsafe { madvise(start, bytes, Advice::Random) } {
            tracing::debug!(%error, "vectors are read ahead");
        }
        Ok(())
    }

    /// # Safety
    /// Nobody uses these pages, which `map` gave.
    pub unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
        // SAFETY: the caller's.
        if let Err(error) = unsafe { munmap(start.as_ptr().cast(), bytes) } {
            tracing::error!(%error, bytes, "memory of vectors is lost");
        }
    }
}

/// Miri knows allocations only.
#[cfg(miri)]
mod system {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::fs::File;
    use std::io;
    use std::ptr::NonNull;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 4096).unwrap()
    }

    pub fn map(bytes: usize) -> io::Result<NonNull<u8>> {
        // SAFETY: there are bytes to allocate.
        NonNull::new(unsafe { alloc_zeroed(layout(bytes)) }).ok_or_else(|| io::Error::other("none left"))
    }

    pub fn ask_for_huge_pages(_: NonNull<u8>, _: usize) {}

    pub unsafe fn map_file(_: NonNull<u8>, _: usize, _: &File, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
        // SAFETY: `map` allocated it so.
        unsafe { dealloc(start.as_ptr(), layout(bytes)) }
    }
}
