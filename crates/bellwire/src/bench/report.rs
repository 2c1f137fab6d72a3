//! Shows what was measured: tables and a plot of the latencies, one JSON object, or charts.

use std::{
    fs,
    io::{Write, stdout},
};

use anyhow::Context;
use bellwire_bench::{
    Latencies,
    chart::Chart,
    compare::{Row, markdown},
};

use super::{
    Arguments,
    plan::{Found, Measured, number},
};

/// The shares that are shown, with their names.
const SHARES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];
/// Characters of the longest bar.
const BAR: usize = 48;

/// Writes it to standard output, and the charts where they are asked for.
pub(super) fn show(arguments: &Arguments, found: &Found) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &json(arguments, found))?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text(arguments, found))?;
    }
    let Some(folder) = &arguments.svg else {
        return Ok(());
    };
    fs::create_dir_all(folder).with_context(|| format!("--svg {}", folder.display()))?;
    let path = folder.join("latency.svg");
    fs::write(&path, chart(found)).with_context(|| format!("--svg {}", path.display()))
}

/// Writes what the transports cost beside each other.
pub(super) fn compare(arguments: &Arguments, rows: &[Row]) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, rows)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", markdown(rows))?;
    }
    Ok(())
}

fn json(arguments: &Arguments, found: &Found) -> serde_json::Value {
    let percentiles = |latencies: &Latencies| {
        let shown = SHARES.map(|(name, share)| (name.to_owned(), latencies.quantile(share).into()));
        serde_json::Value::Object(shown.into_iter().collect())
    };
    serde_json::json!({
        "url": arguments.remote.url,
        "via": arguments.via,
        "connected": found.connected,
        "idle": found.idle,
        "streams": found.streams.iter().map(|stream| serde_json::json!({
            "name": stream.name,
            "published": stream.loaded.published,
            "deliveries": stream.loaded.deliveries,
            "in_time": stream.loaded.in_time,
            "lost": stream.loaded.lost,
            "repeated": stream.loaded.repeated,
            "bytes": stream.loaded.bytes,
            "seconds": stream.loaded.seconds,
            "cpu_s_per_million": stream.cpu_per_million,
            "latency_ms": percentiles(&stream.loaded.latencies),
        })).collect::<Vec<_>>(),
        "storm": found.storm,
    })
}

fn text(arguments: &Arguments, found: &Found) -> String {
    let mut text = String::new();
    let connected = &found.connected;
    let mut line = |name: &str, value: String| {
        text.push_str(&format!("{name:<22}{value}\n"));
    };
    line(
        "connections",
        format!(
            "{} over {} in {:.2} s, {:.0} per second",
            connected.connections,
            arguments.via.name(),
            connected.seconds,
            connected.per_second
        ),
    );
    if let Some(cpu) = connected.cpu_us {
        line("  server's CPU", format!("{cpu:.1} µs each"));
    }
    if let Some(idle) = &found.idle {
        line(
            "  server's memory",
            format!("{:.0} bytes each (PSS {:.0})", idle.rss_each, idle.pss_each),
        );
        line(
            "  kernel's memory",
            format!(
                "{:.0} bytes each in slab caches, {:.0} in socket buffers",
                idle.slab_each, idle.tcp_each
            ),
        );
    }
    for stream in &found.streams {
        text.push_str(&stream_text(stream));
    }
    if let Some(storm) = &found.storm {
        text.push_str(&format!(
            "\nstorm\n  back                {:.2} s (99 % after {:.2} s)\n  \
             caught up           {:.2} s (99 % after {:.2} s), {} messages\n",
            storm.back, storm.back_99, storm.caught_up, storm.caught_up_99, storm.caught
        ));
    }
    text
}

fn stream_text(stream: &Measured) -> String {
    let Measured {
        name,
        loaded,
        cpu_per_million,
    } = stream;
    let deliveries = number(loaded.deliveries);
    let mut text = format!(
        "\n{name}\n  published           {} ({:.0} per second)\n  \
         delivered           {} ({:.0} per second, {:.1} % in time, {:.0} bytes each)\n  \
         verified            {} lost, {} repeated\n",
        loaded.published,
        number(loaded.published) / loaded.seconds,
        loaded.deliveries,
        deliveries / loaded.seconds,
        100.0 * number(loaded.in_time) / deliveries.max(1.0),
        number(loaded.bytes) / deliveries.max(1.0),
        loaded.lost,
        loaded.repeated,
    );
    if let Some(cost) = cpu_per_million {
        text.push_str(&format!(
            "  server's CPU        {cost:.2} s per million deliveries\n"
        ));
    }
    text.push_str("  latency, from when a message was due\n");
    text.push_str(&plot(&loaded.latencies));
    text
}

/// Bars on a logarithmic scale: each doubling of the median is as long as the next.
fn plot(latencies: &Latencies) -> String {
    let unit = latencies.quantile(0.5).max(0.001) / 2.0;
    let scale = |milliseconds: f64| (milliseconds.max(unit) / unit).log2();
    let longest = scale(latencies.max()).max(1.0);
    SHARES
        .iter()
        .map(|(name, share)| {
            let value = latencies.quantile(*share);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a length of some characters"
            )]
            let length = (scale(value) / longest * BAR as f64).round() as usize;
            format!("    {name:<8}{value:>10.2} ms  {}\n", "█".repeat(length))
        })
        .collect()
}

/// Latency over the share of the deliveries that have none longer.
fn chart(found: &Found) -> String {
    let mut chart = Chart::new("Latency of deliveries", "1 of so many is later", "ms");
    for Measured { name, loaded, .. } in &found.streams {
        for one_of in [
            2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0,
        ] {
            if number(loaded.latencies.count()) >= one_of {
                chart.point(name, one_of, loaded.latencies.quantile(1.0 - 1.0 / one_of));
            }
        }
    }
    chart.svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_each_share_and_the_longest_for_the_most() {
        let latencies: Latencies = serde_json::from_str("[[1000,99],[64000,1]]").unwrap();
        let plot = plot(&latencies);
        let bars: Vec<usize> = plot.lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(bars.len(), SHARES.len());
        assert_eq!(bars.last(), Some(&BAR));
        assert!(bars.is_sorted() && bars[0] > 0, "{plot}");
    }
}
