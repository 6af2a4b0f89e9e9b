//! kill -9 under queues: what was acknowledged never comes again, no receive is counted twice, and
//! what was put comes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Random, Server};

/// Rounds of kill and restart on one data directory, where `KINORA_KILLS` does not say how many. What
/// killed receivers had is theirs for minutes, and a queue bounds how much that may be.
const ROUNDS: u64 = 8;
const PRODUCERS: u64 = 2;
const RECEIVERS: u64 = 4;
const MAX_RECEIVES: u64 = 3;
/// No key is needed where all is about the queue.
const SERVER: &[&str] = &["--auth", "off"];

/// What the server said, of each record by the number that it bears.
#[derive(Default)]
struct Said {
    /// Records that were put.
    put: BTreeSet<u64>,
    /// Receives, by how often the record was said to have been received.
    received: BTreeSet<(u64, u64)>,
    /// The receive that was acknowledged.
    acknowledged: BTreeMap<u64, u64>,
    /// Acknowledgements that were not answered: done or not.
    unsure: BTreeSet<u64>,
}

/// Speaks to a server that may die at any moment.
#[derive(Clone)]
struct Client {
    authority: String,
    queue: String,
    said: Arc<Mutex<Said>>,
}

#[test]
fn queue_keeps_its_word_over_kill_9() {
    let rounds = std::env::var("KINORA_KILLS").ok().and_then(|text| text.parse().ok());
    let mut left = rounds.unwrap_or(ROUNDS);
    while left > 0 {
        let rounds = left.min(ROUNDS);
        keeps_its_word(rounds, u64::from(std::process::id()) + left);
        left -= rounds;
    }
}

fn keeps_its_word(rounds: u64, seed: u64) {
    let mut data = tempfile::tempdir().expect("a directory");
    let (said, next) = (Arc::new(Mutex::new(Said::default())), Arc::new(AtomicU64::new(0)));
    let mut queue = String::new();
    for round in 0..rounds {
        let server = Server::start_in(data, SERVER);
        let mut client =
            Client { authority: server.authority().to_owned(), queue, said: said.clone() };
        if round == 0 {
            client.create();
        }
        let mut threads = Vec::new();
        for at in 0..PRODUCERS + RECEIVERS + 1 {
            let (client, next) = (client.clone(), next.clone());
            let mut random = Random(seed ^ (round << 32) ^ (at << 48));
            threads.push(std::thread::spawn(move || match at {
                0..PRODUCERS => client.produce(&next),
                PRODUCERS => client.acknowledge_dead_letters(),
                _ => client.consume(&mut random),
            }));
        }
        // A moment that differs from round to round.
        std::thread::sleep(Duration::from_millis(200 + Random(seed + round).below(900)));
        data = server.kill_9();
        for thread in threads {
            thread.join().expect("the client found nothing wrong");
        }
        queue = client.queue;
    }
    let server = Server::start_in(data, SERVER);
    Client { authority: server.authority().to_owned(), queue, said: said.clone() }.drain();
    let said = said.lock().expect("no thread panicked");
    println!(
        "{} records put, {} receives, {} acknowledged over {rounds} kills",
        said.put.len(),
        said.received.len(),
        said.acknowledged.len()
    );
    assert!(said.acknowledged.len() as u64 > rounds, "hardly anything was acknowledged");
}

impl Client {
    fn create(&mut self) {
        let stream =
            json!({"StreamName": "faces", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
        self.call("CreateStream", stream).expect("the stream is created");
        let summary = self.call("DescribeStreamSummary", json!({"StreamName": "faces"}));
        let summary = summary.expect("it is described");
        let arn = &summary["StreamDescriptionSummary"]["StreamARN"];
        let dead_letters = json!({"TargetType": "BUILT_IN", "MaxReceiveCount": MAX_RECEIVES});
        let queue = json!({
            "QueueName": "alerts",
            "StreamConfigurationList": [{
                "StreamARN": arn,
                "StartingPosition": {"Type": "TRIM_HORIZON"},
            }],
            "QueueAttributes": {
                "VisibilityTimeoutSeconds": 1,
                "DeadLetterConfiguration": dead_letters,
            },
        });
        let created = self.call("CreateQueue", queue).expect("the queue is created");
        let arn = &created["QueueDescription"]["QueueARN"];
        self.queue = arn.as_str().expect("it has an ARN").to_owned();
    }

    /// Puts records until the server dies.
    fn produce(&self, next: &AtomicU64) {
        loop {
            let first = next.fetch_add(5, Ordering::Relaxed);
            let record = |number: u64| json!({"Data": STANDARD.encode(number.to_string()), "PartitionKey": number.to_string()});
            let records: Vec<_> = (first..first + 5).map(record).collect();
            let Some(answer) =
                self.call("PutRecords", json!({"StreamName": "faces", "Records": records}))
            else {
                return;
            };
            let results = answer["Records"].as_array().expect("one result for each");
            let stored = (first..)
                .zip(results)
                .filter(|(_, result)| result.get("ErrorCode").is_none_or(Value::is_null));
            self.said().put.extend(stored.map(|(number, _)| number));
        }
    }

    /// Receives until the server dies; acknowledges most, gives some back at once, forgets others.
    fn consume(&self, random: &mut Random) {
        loop {
            let Some(received) = self.receive("ReceiveQueueRecords") else { return };
            for (number, count, handle) in received {
                assert!(count <= MAX_RECEIVES, "{number} should be a dead letter");
                let alive = match random.below(10) {
                    0 | 1 => true,
                    2 => self.give_back(&handle),
                    _ => self.acknowledge("AcknowledgeQueueRecords", number, count, &handle),
                };
                if !alive {
                    return;
                }
            }
        }
    }

    fn acknowledge_dead_letters(&self) {
        while let Some(received) = self.receive("ReceiveDeadLetterQueueRecords") {
            for (number, count, handle) in received {
                assert!(count > MAX_RECEIVES, "{number} is a dead letter too early");
                let operation = "AcknowledgeDeadLetterQueueRecords";
                if !self.acknowledge(operation, number, count, &handle) {
                    return;
                }
            }
        }
    }

    /// Numbers, receive counts and handles.
    fn receive(&self, operation: &str) -> Option<Vec<(u64, u64, String)>> {
        let answer = self.call(operation, json!({"QueueARN": self.queue, "WaitTimeSeconds": 1}))?;
        let records = answer["QueueRecords"].as_array().cloned().unwrap_or_default();
        let mut said = self.said();
        let read = records.into_iter().map(|record| {
            let data = record["Data"].as_str().expect("data");
            let data = STANDARD.decode(data).expect("base64");
            let number = String::from_utf8_lossy(&data).parse().expect("what was put");
            let count = record["ReceiveCount"].as_u64().expect("a count");
            assert!(said.received.insert((number, count)), "{number} was received {count} times");
            let acknowledged = said.acknowledged.get(&number);
            assert!(
                acknowledged.is_none_or(|at| count < *at),
                "{number} came for the {count}. time, and was acknowledged at the {acknowledged:?}."
            );
            (number, count, record["ReceiptHandle"].as_str().expect("a handle").to_owned())
        });
        Some(read.collect())
    }

    /// `false` when the server died.
    fn acknowledge(&self, operation: &str, number: u64, count: u64, handle: &str) -> bool {
        let entries = json!([{"ReceiptHandle": handle}]);
        let answer = self.call(operation, json!({"QueueARN": self.queue, "Entries": entries}));
        let mut said = self.said();
        match &answer {
            Some(answer) if answer["Successful"].as_array().is_some_and(|done| done.len() == 1) => {
                said.acknowledged.insert(number, count);
            }
            Some(_) => {}
            None => drop(said.unsure.insert(number)),
        }
        answer.is_some()
    }

    /// `false` when the server died.
    fn give_back(&self, handle: &str) -> bool {
        let entries = json!([{"ReceiptHandle": handle, "VisibilityTimeoutSeconds": 0}]);
        let input = json!({"QueueARN": self.queue, "Entries": entries});
        self.call("UpdateQueueRecordsVisibility", input).is_some()
    }

    /// All that was put and not acknowledged comes, as a record or as a dead letter.
    fn drain(&self) {
        // The visibility timeout of what the last receivers had.
        std::thread::sleep(Duration::from_millis(1100));
        let hidden = json!({"QueueARN": self.queue, "WaitTimeSeconds": 1,
            "VisibilityTimeoutSeconds": 600});
        let mut come = BTreeSet::new();
        for operation in ["ReceiveQueueRecords", "ReceiveDeadLetterQueueRecords"] {
            loop {
                let answer = self.call(operation, hidden.clone()).expect("the server answers");
                let records = answer["QueueRecords"].as_array().cloned().unwrap_or_default();
                if records.is_empty() {
                    break;
                }
                for record in records {
                    let data = STANDARD.decode(record["Data"].as_str().expect("data"));
                    let data = String::from_utf8(data.expect("base64")).expect("what was put");
                    let number: u64 = data.parse().expect("what was put");
                    assert!(come.insert(number), "{number} comes twice while it is hidden");
                }
            }
        }
        let said = self.said();
        for number in &said.put {
            let comes = come.contains(number);
            let acknowledged = said.acknowledged.contains_key(number);
            assert!(!(comes && acknowledged), "{number} was acknowledged and comes again");
            assert!(comes || acknowledged || said.unsure.contains(number), "{number} is lost");
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().expect("no thread panicked")
    }

    /// The answer, which must be a success; `None` when the server died.
    fn call(&self, operation: &str, input: Value) -> Option<Value> {
        let body = input.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/x-amz-json-1.1\r\n\
             x-amz-target: Kinesis_20131202.{operation}\r\ncontent-length: {}\r\n\r\n",
            self.authority,
            body.len()
        );
        let mut socket = TcpStream::connect(&self.authority).ok()?;
        socket.write_all((head + &body).as_bytes()).ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()) != Some(body.len()) {
            return None;
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{operation} {input}: {text}");
        Some(if body.is_empty() { Value::Null } else { serde_json::from_str(body).ok()? })
    }
}
