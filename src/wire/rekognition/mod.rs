//! The shapes of Rekognition (API version 2016-06-27, JSON 1.1), as far as this service answers:
//! stream processors, faces in pictures, tags.
//!
//! As with record streams, every member is optional and the model's demands stand beside it; see
//! [`super::records`]. Here: members, their types and the model's constraints.

pub mod faces;
pub mod processors;
pub mod rules;
pub mod tags;

use super::records::shapes;

#[cfg(test)]
mod tests {
    use super::processors::{CreateStreamProcessorInput, StartStreamProcessorInput};
    use crate::wire::records::Format;
    use crate::wire::records::rule::problems;

    #[test]
    fn what_the_model_does_not_allow_is_told_in_its_words() {
        let body = r#"{"Name": "a b", "Settings": {"FaceSearch": {"FaceMatchThreshold": 100.5}},
            "Input": {"KinesisVideoStream": {"Arn": "arn:aws:s3:::bucket"}}, "RoleArn": "x"}"#;
        let input: CreateStreamProcessorInput =
            Format::Json.read(body.as_bytes()).expect("it is JSON");
        let problems = problems(&input).expect("problems");
        assert!(problems.starts_with("5 validation errors detected: "), "{problems}");
        for words in [
            "Value 'arn:aws:s3:::bucket' at 'input.kinesisVideoStream.arn'",
            "Value null at 'output' failed to satisfy constraint: Member must not be null",
            "Value 'a b' at 'name'",
            "Value '100.5' at 'settings.faceSearch.faceMatchThreshold' failed to satisfy \
             constraint: Member must have value less than or equal to 100",
            "Value 'x' at 'roleArn'",
        ] {
            assert!(problems.contains(words), "{words}: {problems}");
        }
    }

    #[test]
    fn selectors_are_read_under_the_names_of_the_model() {
        let body = r#"{"Name": "door", "StopSelector": {"MaxDurationInSeconds": 60},
            "StartSelector": {"KVSStreamStartSelector": {"ProducerTimestamp": 1795308137662}}}"#;
        let input: StartStreamProcessorInput =
            Format::Json.read(body.as_bytes()).expect("it is JSON");
        assert_eq!(problems(&input), None);
        let selector = input.start_selector.and_then(|selector| selector.kvs_stream_start_selector);
        let at = selector.and_then(|selector| selector.producer_timestamp);
        assert_eq!(at, Some(1_795_308_137_662));
    }
}
