//! A clock that is cheap enough to read around a single call.

use std::time::{Duration, Instant};

/// The time in ticks of unknown length.
#[inline]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the counter.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    return {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        START.elapsed().as_nanos() as u64
    };
}

/// How long the calling thread has run so far, if the system reports it. Waiting times are not
/// included.
pub fn cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is valid for writes.
        let told = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        (told == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
    #[cfg(not(unix))]
    None
}

/// The properties of a tick, measured once.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The nanoseconds of a tick.
    pub tick: f64,
    /// The ticks between two readings with nothing in between.
    pub reading: u64,
}

impl Clock {
    /// Compares ticks with the system's clock for 50 ms.
    pub fn calibrate() -> Self {
        let (start, first) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let (elapsed, last) = (start.elapsed(), ticks());
        let reading = (0..10_000)
            .map(|_| {
                let first = ticks();
                ticks() - first
            })
            .min();
        Self {
            tick: elapsed.as_nanos() as f64 / (last - first) as f64,
            reading: reading.unwrap_or(0),
        }
    }
}
