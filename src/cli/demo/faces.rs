//! The demo's face part: one person is enrolled, a stream processor looks for faces in the film, and
//! a rule tells the demo's own receiver of everybody else.

use std::path::Path;

use bytes::Bytes;

use super::receiver::{Receiver, Taken};
use super::script::{ENROLLED, Passage, Script};
use crate::cli::Failure;
use crate::client::{ApiName, Client, Error, NewStreamProcessor};
use crate::clock::Clock;
use crate::config::Config;
use crate::media::mp4::demux::{Demuxer, Event};
use crate::types::{Millis, ProducerTimestamp, StreamName};
use crate::wire::alerts::{Clip, Notice, Rule, Target, When};
use crate::wire::findings::{FindingRecord, TrackEvent, TrackEventType};

/// The collection and the stream processor.
const NAME: &str = "demo";
const FINDINGS: &str = "demo-findings";
const RULE: &str = "unknown-face";
/// AWS asks for a role; kinora has none.
const ROLE: &str = "arn:aws:iam::000000000000:role/demo";
/// How long the demo keeps its film at least.
const RETENTION_HOURS: u32 = 24;
const MEDIA_TYPE: &str = "video/h264";
const ATTEMPTS: u32 = 10;
/// The last of the models that are made.
const MODEL: &str = "face-recognition.onnx";
/// How long after a passage what it causes may still be on its way, in seconds.
const PATIENCE: f64 = 10.0;
/// How far beside a passage what was seen of it may be dated, in seconds.
const MARGIN: f64 = 1.0;
/// The largest clip that is looked at.
const MAX_CLIP_BYTES: usize = 64 << 20;
/// Records of one page.
const PAGE: u16 = 1000;

/// What looks at the film, and what it should see.
#[derive(Debug)]
pub struct Faces {
    script: Script,
    receiver: Receiver,
}

impl Faces {
    /// Makes everything, before the film begins; or tells what is missing for it.
    pub async fn set_up(
        client: &Client,
        config: &Config,
        (film, stream): (&Path, &StreamName),
        clock: Clock,
    ) -> Result<Result<Self, String>, Failure> {
        if !film.is_file() {
            return Ok(Err("there is no film with faces (`make scene` makes it)".to_owned()));
        }
        let Some(script) = Script::beside(film)? else {
            return Ok(Err(
                "nobody says who is in the film: there is no .json beside it".to_owned()
            ));
        };
        if let Some(missing) = missing(config, script.portrait()) {
            return Ok(Err(missing));
        }
        let receiver = Receiver::start(clock).await?;
        let findings: StreamName = FINDINGS.parse().expect("the constant is a stream's name");
        made(client.create_collection(NAME).await)?;
        let portrait = tokio::fs::read(script.portrait()).await?;
        if client.index_face(NAME, &portrait, ENROLLED).await? != 1 {
            return Err(format!("{}: no face is in it", script.portrait().display()).into());
        }
        made(client.create_stream(stream, MEDIA_TYPE, RETENTION_HOURS).await.map(drop))?;
        made(client.create_record_stream(&findings).await)?;
        let processor = NewStreamProcessor {
            name: NAME.to_owned(),
            input: client.describe_stream(stream).await?.arn,
            output: client.record_stream_arn(&findings).await?,
            collection: NAME.to_owned(),
            role: ROLE.to_owned(),
        };
        made(client.create_stream_processor(&processor).await)?;
        made(client.start_stream_processor(NAME).await)?;
        client.put_alert_rule(RULE, &rule(stream, &receiver)).await?;
        Ok(Ok(Self { script, receiver }))
    }

    /// What is wrong with what was seen of the film, which began at `began` or later.
    pub async fn judge(
        &self,
        client: &Client,
        stream: &StreamName,
        began: ProducerTimestamp,
    ) -> Result<Vec<String>, Failure> {
        let (start, end) = shown(client, stream, began).await?;
        let passages = self.script.passages(end - start);
        let events = appeared(client, start).await?;
        let taken = self.receiver.taken();
        let mut faults = faults(&passages, end - start, (&events, &taken), start);
        let whole = |notice: &&Notice| notice.alert.clip.end <= end;
        if let Some(notice) = taken.notices.iter().find(whole) {
            match client.follow_link(&notice.clip_url, MAX_CLIP_BYTES).await? {
                Some(clip) => faults.extend(fault_of(&clip)),
                None => faults.push("the link of an alert shows no clip".to_owned()),
            }
        }
        let known = events.iter().filter(|event| is_enrolled(event)).count();
        let told = taken.notices.len();
        eprintln!("kinora demo: knew a face {known} times, alerted of a stranger {told} times");
        Ok(faults)
    }
}

/// What this machine or build lacks to look for faces.
fn missing(config: &Config, portrait: &Path) -> Option<String> {
    if !cfg!(all(feature = "gstreamer", feature = "onnx")) {
        return Some("this kinora was built without GStreamer or ONNX".to_owned());
    }
    let folder = crate::vision::engine::models_folder(&config.vision.models_dir, &config.data);
    let file = if portrait.is_file() { folder.join(MODEL) } else { portrait.to_owned() };
    let lacks = !file.is_file();
    lacks.then(|| format!("{} is missing (`make models` makes it)", file.display()))
}

/// A directory that is kept has it all from the time before.
fn made(outcome: Result<(), Error>) -> Result<(), Error> {
    outcome.or_else(|error| if error.is_in_use() { Ok(()) } else { Err(error) })
}

fn rule(stream: &StreamName, receiver: &Receiver) -> Rule {
    let target = Target::Webhook {
        url: receiver.url(),
        secret: receiver.secret().to_owned(),
        attach_clip: false,
    };
    Rule {
        enabled: true,
        streams: Some(vec![stream.to_string()]),
        when: When::Unknown,
        region: None,
        schedule: None,
        clip: Clip::default(),
        targets: vec![target],
        max_attempts: ATTEMPTS,
    }
}

/// When the film began and how far it is, in seconds on the producer's clock.
async fn shown(
    client: &Client,
    stream: &StreamName,
    began: ProducerTimestamp,
) -> Result<(f64, f64), Failure> {
    let endpoint = client.get_data_endpoint(stream, ApiName::ListFragments).await?;
    let range = (began, began.plus(Millis(u64::from(RETENTION_HOURS) * 3_600_000)));
    let (mut start, mut end) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut next = None;
    loop {
        let page = client.list_fragments(&endpoint, stream, range, next.as_deref()).await?;
        for fragment in &page.fragments {
            start = start.min(fragment.producer.as_secs_f64());
            end = end.max(fragment.producer.plus(fragment.duration).as_secs_f64());
        }
        next = page.next;
        if next.is_none() {
            return if start < end { Ok((start, end)) } else { Err("nothing is stored".into()) };
        }
    }
}

/// Who came into view since `start`.
async fn appeared(client: &Client, start: f64) -> Result<Vec<TrackEvent>, Failure> {
    let findings: StreamName = FINDINGS.parse().expect("the constant is a stream's name");
    let mut events = Vec::new();
    for shard in client.list_shards(&findings).await? {
        let mut next = Some(client.shard_iterator(&findings, shard, "TRIM_HORIZON").await?);
        while let Some(iterator) = next.take() {
            let page = client.get_records(&iterator, PAGE).await?;
            let data = page.records.iter().filter_map(|record| record.data.as_ref());
            for data in data {
                let finding: FindingRecord = serde_json::from_slice(&data.0)?;
                events.extend(finding.kinora.events);
            }
            next = page.next.filter(|_| page.millis_behind > 0);
        }
    }
    events.retain(|event| event.kind == TrackEventType::Appeared && event.first >= start);
    Ok(events)
}

fn is_enrolled(event: &TrackEvent) -> bool {
    event.known && event.person_name.as_deref() == Some(ENROLLED)
}

/// Compares what was seen with the script. What was under way at the end may be seen or not.
fn faults(
    passages: &[Passage],
    seconds: f64,
    (events, taken): (&[TrackEvent], &Taken),
    start: f64,
) -> Vec<String> {
    let within = |passage: &Passage, event: &TrackEvent| {
        (passage.from - MARGIN..=passage.to + MARGIN).contains(&(event.first - start))
    };
    let mut faults = Vec::new();
    let alerts: Vec<_> = taken.notices.iter().filter_map(|n| n.alert.event.as_ref()).collect();
    for passage in passages {
        let is_over = passage.to + PATIENCE <= seconds;
        let Passage { person, from, to } = passage;
        if person == ENROLLED {
            let seen = events.iter().any(|event| is_enrolled(event) && within(passage, event));
            if is_over && !seen {
                faults.push(format!("the known person was not known from {from} to {to} s"));
            }
            continue;
        }
        let told = alerts.iter().filter(|event| within(passage, event)).count();
        if told > 1 || (is_over && told == 0) {
            faults.push(format!("{told} alerts, not one, of the stranger from {from} to {to} s"));
        }
    }
    for alert in alerts {
        let strangers = passages.iter().filter(|passage| passage.person != ENROLLED);
        if !strangers.into_iter().any(|passage| within(passage, alert)) {
            let at = alert.first - start;
            faults.push(format!("an alert at {at:.1} s, when no stranger is to be seen"));
        }
    }
    if taken.refused > 0 {
        faults.push(format!("{} messages to the receiver are not signed alerts", taken.refused));
    }
    faults
}

/// Why a clip is none that plays.
fn fault_of(clip: &Bytes) -> Option<String> {
    let mut demuxer = Demuxer::default();
    demuxer.push(clip);
    loop {
        match demuxer.next_event() {
            Ok(Some(Event::Frame(frame))) if !frame.data.is_empty() => return None,
            Ok(Some(_)) => {}
            Ok(None) => return Some("the clip of an alert has no picture".to_owned()),
            Err(error) => return Some(format!("the clip of an alert: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(first: f64, name: Option<&str>) -> serde_json::Value {
        json!({
            "Type": "appeared", "TrackId": "t", "ResultId": "t", "Stream": "demo", "Time": first,
            "First": first, "Last": first, "Frames": 1, "PersonId": "p", "PersonName": name,
            "Known": name.is_some(), "Similarity": null, "SightingId": null, "FaceId": null,
            "BoundingBox": { "Left": 0.0, "Top": 0.0, "Width": 0.1, "Height": 0.1 },
            "Confidence": 99.0,
        })
    }

    /// What is wrong when so many seconds were shown, the known person seen and alerts told then.
    fn found(seconds: f64, known: &[f64], alerts: &[f64]) -> Vec<String> {
        let passage = |person: &str, from, to| Passage { person: person.to_owned(), from, to };
        let passages = [passage(ENROLLED, 1.0, 11.0), passage("stranger", 13.0, 23.0)];
        let seen = |at: &f64| serde_json::from_value(event(100.0 + at, Some(ENROLLED)));
        let events: Vec<TrackEvent> =
            known.iter().map(seen).collect::<Result<_, _>>().expect("events");
        let notice = |at: &f64| {
            let alert = json!({
                "Id": at.to_string(), "Rule": RULE, "Type": "unknown", "Stream": "demo",
                "Time": 100.0 + at, "Event": event(100.0 + at, None), "Collection": "demo",
                "Processor": "demo", "Clip": { "start": 95.0, "end": 105.0 }, "SightingId": null,
            });
            let notice = json!({ "alert": alert, "cropUrl": null, "clipUrl": "", "crop": null });
            serde_json::from_value(notice)
        };
        let notices = alerts.iter().map(notice).collect::<Result<_, _>>().expect("notices");
        let taken = Taken { notices, refused: 0 };
        faults(&passages, seconds, (&events, &taken), 100.0)
    }

    #[test]
    fn each_passage_of_the_stranger_is_told_once_and_the_known_person_is_known() {
        assert!(found(40.0, &[2.0], &[14.0]).is_empty());
        assert_eq!(found(40.0, &[], &[14.0]).len(), 1, "nobody was known");
        assert_eq!(found(40.0, &[2.0], &[]).len(), 1, "nobody was told of the stranger");
        assert_eq!(found(40.0, &[2.0], &[14.0, 18.0]).len(), 1, "the stranger was told of twice");
        assert_eq!(found(40.0, &[2.0], &[5.0, 14.0]).len(), 1, "somebody known was told of");
    }

    #[test]
    fn what_was_under_way_at_the_end_may_be_missing_but_not_be_told_twice() {
        assert!(found(15.0, &[], &[]).is_empty());
        assert!(found(30.0, &[2.0], &[14.0]).is_empty());
        assert_eq!(found(30.0, &[2.0], &[14.0, 18.0]).len(), 1);
    }

    #[test]
    fn a_clip_without_pictures_is_none() {
        assert!(fault_of(&Bytes::from_static(b"no clip")).is_some());
        assert!(fault_of(&Bytes::new()).is_some());
    }
}
