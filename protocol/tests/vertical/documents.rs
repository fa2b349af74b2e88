//! Job files in the documentation of vertical jobs are valid, or refused for the one reason that their page gives.

use haihe_protocol::job::JobProblem;

use super::*;

fn jobs(text: &str) -> Vec<&str> {
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("[job]")).collect()
}

#[test]
fn jobs_of_the_page_are_valid() {
    let text = include_str!("../../../docs/vertical.md");
    let found = jobs(text);
    assert_eq!(found.len(), 2, "one that learns, one that scores");
    for job in &found {
        let spec = JobSpec::parse(job).unwrap_or_else(|problems| panic!("{problems:?} in\n{job}"));
        assert!(spec.vertical.is_some());
    }
    assert!(JobSpec::parse(found[1]).is_ok_and(|spec| spec.scoring.is_some()));
}

#[test]
fn every_default_of_the_page_is_the_programs() {
    // A job that says nothing is the job that says the defaults.
    let plain = job(2, 1, "woe", "");
    let said = plain.replace(
        "[[vertical.holder]]\nparty = \"bank\"",
        "[vertical.woe]\nfine_bins = 20\nminimum_goods = 5\nminimum_bads = 5\nmax_bins = 10\nshape = \"auto\"\n\
         smoothing = 0.5\nmin_chi_square = 1.0\nmin_iv = 0.02\n[vertical.regression]\nridge = 1.0\nbalanced = false\n\
         tolerance = 1e-4\nmax_passes = 40\nmemory = 16\n[vertical.fit]\nvalidation_share = 0.0\n\
         [[vertical.holder]]\nparty = \"bank\"",
    );
    assert_ne!(plain, said);
    // What is on by default where it applies is the same as if it were said.
    let asked = "[vertical.selection]\nmax_correlation = 1.0\nrequire_positive = true\n[vertical.alignment]";
    let asked = spec(&plain.replace("[vertical.alignment]", asked)).vertical.expect("vertical");
    let silent = spec(&plain).vertical.expect("vertical");
    let meant = |o: &haihe_protocol::vertical::VerticalOptions| (o.selection.most_correlation(), o.reviews());
    assert!(asked.selection != silent.selection && meant(&asked) == meant(&silent) && silent.reviews());
    assert_eq!(spec(&plain).vertical, spec(&said).vertical);
}

#[test]
fn a_job_over_regions_can_be_written_down_and_is_refused_for_that_alone() {
    let text = include_str!("../../../docs/regions.md");
    let found = jobs(text);
    assert_eq!(found.len(), 1);
    let problems = JobSpec::parse(found[0]).expect_err("not carried out yet");
    let of_regions = |p: &JobProblem| p.to_string().contains("docs/regions.md");
    assert!(problems.len() == 1 && problems.iter().all(of_regions), "{problems:?}");
}
