//! Work that nobody waits for.

use std::panic::resume_unwind;
use std::thread;

/// The nice value of such work: what is acknowledged to somebody goes first.
const NICE: i32 = 10;

/// Lets the calling thread have the processor only when hardly anybody else wants it. A thread can
/// not take that back: without privileges nobody gets a better nice value than he has.
pub fn lower_priority() {
    // Where that is not allowed, it works all the same.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// Runs `work` on a thread of low priority, and waits for it. At the usual one, something that
/// computes for seconds keeps whoever wakes up, such as a producer's task, waiting for
/// milliseconds each time on a machine of few cores.
pub fn run<T: Send>(work: impl Fn() -> T + Sync) -> T {
    thread::scope(|scope| {
        let low = || {
            lower_priority();
            work()
        };
        match thread::Builder::new().name("store-keeping".into()).spawn_scoped(scope, low) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => work(),
        }
    })
}
