//! Any bytes as the body of a Kinesis Data Streams request: what can be read can be judged, and comes
//! back the same when it is written.

#![no_main]

use kinora_fuzz::wire::records::consumers::SubscribeToShardInput;
use kinora_fuzz::wire::records::data::{GetShardIteratorInput, PutRecordsInput};
use kinora_fuzz::wire::records::queues::CreateQueueInput;
use kinora_fuzz::wire::records::rule::{Value, problems};
use kinora_fuzz::wire::records::streams::CreateStreamInput;
use kinora_fuzz::wire::records::Format;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let format = if choice & 1 == 0 { Format::Json } else { Format::Cbor };
    match choice >> 1 & 7 {
        0 => check::<CreateStreamInput>(format, body),
        1 => check::<GetShardIteratorInput>(format, body),
        2 => check::<SubscribeToShardInput>(format, body),
        3 => check::<CreateQueueInput>(format, body),
        _ => check::<PutRecordsInput>(format, body),
    }
});

fn check<T>(format: Format, body: &[u8])
where
    T: Value + Serialize + DeserializeOwned + Default + PartialEq + std::fmt::Debug,
{
    if let Ok(input) = format.read::<T>(body) {
        let _ = problems(&input);
        assert_eq!(Format::Cbor.read(&Format::Cbor.write(&input)), Ok(input));
    }
}
