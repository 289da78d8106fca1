//! A sweep as JUnit XML, for CI systems.
//!
//! One suite a variant. Its first case is the variant's expectation; every run that should not have ended
//! as it did is a case of its own below it, so that a CI system counts and lists it. A violation that a
//! scenario expects is a success: it stands in the suite's output, to be read, not in its failures.
//!
//! XML cannot hold most control characters in any form: [`visible`] writes them out first, and the
//! serialiser escapes what is special to XML itself.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::suite::{FailureReport, SuiteReport, VariantReport};
use crate::text::{count, moment, plain, visible};

/// `suite` as a JUnit document.
pub fn junit(suite: &SuiteReport) -> String {
    let mut report = Report::new("ironbird");
    report.set_time(suite.variants.iter().map(|variant| variant.elapsed).sum());
    report.add_test_suites(suite.variants.iter().map(test_suite));
    report.to_string().expect("a report of strings and numbers serialises into memory")
}

fn test_suite(variant: &VariantReport) -> TestSuite {
    let name = plain(&variant.name);
    let mut suite = TestSuite::new(name.as_str());
    suite.set_time(variant.elapsed);
    suite.add_properties([
        Property::new("file", visible(&variant.file)),
        Property::new("runs", variant.runs.to_string()),
        Property::new("violated", variant.violated.to_string()),
        Property::new("simulated_seconds", format!("{:.3}", variant.simulated.as_secs_f64())),
    ]);
    for (property, runs) in &variant.violations {
        suite.add_property(Property::new(format!("violated.{}", plain(property)), runs.to_string()));
    }

    let mut status = TestCaseStatus::success();
    if !variant.as_expected {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("expectation").set_message(format!(
            "expected: {}; {}",
            plain(&variant.expectation),
            seen(variant)
        ));
    }
    let mut expectation = TestCase::new(format!("expects: {}", plain(&variant.expectation)), status);
    expectation.set_classname(name.as_str()).set_time(variant.elapsed);
    if let Some(example) = &variant.example {
        expectation.set_system_out(crate::failure(example));
    }
    suite.add_test_case(expectation);
    suite.add_test_cases(variant.failures.iter().map(|failure| test_case(&name, failure)));
    suite
}

fn seen(variant: &VariantReport) -> String {
    let mut text = format!("violated in {} of {}", variant.violated, count(variant.runs, "run"));
    if !variant.vacuous.is_empty() {
        let missed: Vec<_> = variant.vacuous.iter().map(|name| plain(name)).collect();
        text += &format!("; never reached: {}", missed.join(", "));
    }
    text
}

fn test_case(variant: &str, failure: &FailureReport) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_type(failure.violations.first().map_or("unexpected", |violation| violation.property.name()))
        .set_message(plain(&failure.reason))
        .set_description(crate::failure(failure));
    let mut case = TestCase::new(format!("seed {}", failure.seed), status);
    case.set_classname(variant);
    case.add_property(Property::new("seed", failure.seed.to_string()));
    case.add_property(Property::new("hash", visible(&failure.hash)));
    if let Some(signature) = &failure.signature {
        case.add_property(Property::new("signature", plain(&signature.to_string())));
        case.add_property(Property::new("signature_id", signature.id()));
    }
    if let Some(first) = failure.violations.first() {
        case.add_property(Property::new("first_violation_at", moment(first.at)));
    }
    case
}
