//! Messages of the StoreAPI and of remote read, and what is made of matchers in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use proto::thanos::{SeriesRequest, SeriesResponse};

fuzz_target!(|data: &[u8]| {
    let _ = SeriesResponse::decode(data);
    let _ = proto::info::InfoResponse::decode(data);
    let _ = proto::prometheus::ChunkedReadResponse::decode(data);
    if let Ok(request) = SeriesRequest::decode(data) {
        let _ = store::matchers::from_wire(&request.matchers);
        let _ = store::shard::contains(request.shard_info.as_ref(), &[]);
    }
});
