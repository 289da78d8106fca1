//! `/v1/coordinate/`: where nodes are, as round trips go.
//!
//! A real server gathers updates and writes them every five seconds; this one writes each as it comes.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use super::access::{Denied, May};
use super::params::Form;
use super::reply::{self, Failure};
use super::{Call, Outcome, carried_out, decode};
use crate::consul::Consul;
use crate::consul::blocking::Seen;
use crate::consul::leader::Proposal;
use crate::consul::state::Command;
use crate::consul::state::catalog::{Catalog, Coordinate, Point};

/// Whose coordinates are read.
#[derive(Debug)]
pub(in crate::consul) struct Read {
    /// Everybody's, when there is none.
    node: Option<String>,
    /// Only those in this segment.
    segment: Option<String>,
}

pub(super) fn nodes(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(Outcome::Read(super::Read::Coordinate(Read { node: None, segment: segment(call) })))
}

pub(super) fn node(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let node = Some(call.rest.to_owned());
    Ok(Outcome::Read(super::Read::Coordinate(Read { node, segment: segment(call) })))
}

/// No datacenter but this one is ever in reach, and one alone is nowhere.
pub(super) fn datacenters(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    Ok(call.json::<[(); 0]>(&[]))
}

fn segment(call: &Call<'_>) -> Option<String> {
    call.params.get("segment").map(str::to_owned)
}

pub(super) fn update(_: &mut Consul, call: &Call<'_>) -> Result<Outcome, Failure> {
    let coordinate = decode::parse(call.body)
        .and_then(|body| coordinate(&body))
        .map_err(|why| Failure::bad(format!("Request decode failed: {why}")))?;
    Ok(Outcome::Write(Proposal::Command(Command::Coordinates(vec![coordinate])), carried_out))
}

fn coordinate(value: &Value) -> decode::Result<Coordinate> {
    let mut coordinate = Coordinate::default();
    for (field, name, value) in decode::fields(value, "structs.CoordinateUpdateRequest")? {
        match field.as_str() {
            "datacenter" | "token" => drop(decode::text(value, &format!("CoordinateUpdateRequest.{name}"))?),
            "node" => coordinate.node = decode::text(value, "CoordinateUpdateRequest.Node")?,
            "segment" => coordinate.segment = decode::text(value, "CoordinateUpdateRequest.Segment")?,
            "coord" => coordinate.point = point(value)?,
            _ => return decode::unknown(name),
        }
    }
    Ok(coordinate)
}

fn point(value: &Value) -> decode::Result<Point> {
    let mut point = Point::default();
    let fields = decode::fields_at(value, "CoordinateUpdateRequest.Coord", "coordinate.Coordinate")?;
    for (field, name, value) in fields {
        let path = format!("Coordinate.Coord.{name}");
        match field.as_str() {
            "vec" => {
                let items = decode::items_of(value, &path, "[]float64")?;
                point.vec =
                    items.iter().map(|item| decode::float(item, &path)).collect::<decode::Result<_>>()?;
            }
            "error" => point.error = decode::float(value, &path)?,
            "adjustment" => point.adjustment = decode::float(value, &path)?,
            "height" => point.height = decode::float(value, &path)?,
            _ => return decode::unknown(name),
        }
    }
    Ok(point)
}

impl Read {
    pub(super) fn permitted(&self, may: &May) -> Result<(), Denied> {
        match &self.node {
            Some(node) => may.need(|token| token.node_read(node)),
            None => may.known(),
        }
    }

    pub(super) fn seen(&self, catalog: &Catalog) -> Seen {
        let index = catalog.coordinates_index();
        let written = self.node.as_ref().map_or(index, |node| catalog.coordinates_of_written(node));
        Seen { index, written, hash: None }
    }

    /// The answer; nothing but its status, when a node is nowhere.
    pub(super) fn answer(&self, catalog: &Catalog, form: &Form) -> Response<Bytes> {
        let mut found: Vec<_> = match &self.node {
            Some(node) => catalog.coordinates_of(node).cloned().collect(),
            None => catalog.coordinates().cloned().collect(),
        };
        found.retain(|coordinate| form.may.allows(|token| token.node_read(&coordinate.node)));
        found.retain(|coordinate| self.segment.as_ref().is_none_or(|wanted| coordinate.segment == *wanted));
        let Some(node) = &self.node else {
            return reply::json(StatusCode::OK, &found, form.pretty);
        };
        if found.is_empty() {
            return reply::empty(StatusCode::NOT_FOUND);
        }
        // One node is called what it was asked for as.
        let called = |coordinate: &Coordinate| Coordinate { node: node.clone(), ..coordinate.clone() };
        let found: Vec<_> = found.iter().map(|coordinate| called(coordinate)).collect();
        reply::json(StatusCode::OK, &found, form.pretty)
    }
}
