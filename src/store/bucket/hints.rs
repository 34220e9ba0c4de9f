//! Hints inside of messages: which blocks to ask, which were asked, and what it took.

use model::Matcher;
use prost::Message;
use prost_types::Any;
use proto::thanos::LabelMatcher;
use tonic::Status;

use crate::matchers;

const PREFIX: &str = "type.googleapis.com/hintspb.";

/// Reads hints of the type `hintspb.<name>`; none are the default.
pub(crate) fn read<M: Message + Default>(hints: Option<&Any>, name: &str) -> Result<M, Status> {
    let Some(hints) = hints else {
        return Ok(M::default());
    };
    let wrong = |why: String| Status::invalid_argument(format!("unmarshal request hints: {why}"));
    let found = hints.type_url.rsplit('/').next().unwrap_or_default();
    if found != format!("hintspb.{name}") {
        return Err(wrong(format!(
            "mismatched message type: got {found:?} want \"hintspb.{name}\""
        )));
    }
    M::decode(hints.value.as_slice()).map_err(|error| wrong(error.to_string()))
}

/// Hints of the type `hintspb.<name>`.
pub(crate) fn write(message: &impl Message, name: &str) -> Any {
    Any {
        type_url: format!("{PREFIX}{name}"),
        value: message.encode_to_vec(),
    }
}

/// The matchers that choose blocks.
pub(crate) fn block_matchers(asked: &[LabelMatcher]) -> Result<Vec<Matcher>, Status> {
    let wrong = |error| {
        Status::invalid_argument(format!("translate request hints labels matchers: {error}"))
    };
    matchers::from_wire(asked).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use proto::hintspb::{Block, SeriesResponseHints};

    use super::*;

    #[test]
    fn hints_are_read_as_they_were_written_and_others_are_refused() {
        let hints = SeriesResponseHints {
            queried_blocks: vec![Block { id: "a".into() }],
            query_stats: None,
        };
        let any = write(&hints, "SeriesResponseHints");
        let read_back: SeriesResponseHints =
            read(Some(&any), "SeriesResponseHints").expect("the same");
        assert_eq!(read_back, hints);
        assert!(read::<SeriesResponseHints>(Some(&any), "LabelNamesRequestHints").is_err());
        assert_eq!(
            read::<SeriesResponseHints>(None, "x").expect("none"),
            SeriesResponseHints::default()
        );
    }
}
