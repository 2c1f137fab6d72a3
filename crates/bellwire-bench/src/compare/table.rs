//! The rows as tables for docs/choosing.md and for the terminal.

use std::fmt::Write;

use super::{Row, Transport};

/// Two tables in Markdown: by rate and transport, and the memory of an idle client where that was
/// measured.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut out = String::new();
    write(&mut out, rows).expect("memory takes it");
    out
}

fn write(out: &mut String, rows: &[Row]) -> std::fmt::Result {
    writeln!(
        out,
        "| messages | transport | requests per message | bytes sent | bytes received | p50, ms | \
         p99, ms | server's CPU, µs |\n|---|---|--:|--:|--:|--:|--:|--:|"
    )?;
    for row in rows {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            rate(row.per_minute),
            row.transport.name(),
            figure(row.requests),
            figure(row.sent),
            figure(row.received),
            figure(row.p50_ms),
            figure(row.p99_ms),
            row.cpu_us.map_or_else(|| "–".to_owned(), figure),
        )?;
    }
    let memory = |transport| {
        let mut of = rows.iter().filter(|row| row.transport == transport);
        of.find_map(|row| row.memory)
    };
    if rows.iter().all(|row| row.memory.is_none()) {
        return Ok(());
    }
    writeln!(out, "\n| an idle client of | bytes of memory |\n|---|--:|")?;
    for transport in Transport::ALL {
        if let Some(bytes) = memory(transport) {
            writeln!(out, "| {} | {} |", transport.name(), figure(bytes))?;
        }
    }
    Ok(())
}

/// `1 a minute`, `60 a second`.
fn rate(per_minute: f64) -> String {
    if per_minute < 60.0 {
        format!("{per_minute} a minute")
    } else {
        format!("{} a second", per_minute / 60.0)
    }
}

/// Two or three digits that mean something, thousands set apart.
fn figure(value: f64) -> String {
    let places = match value {
        v if v >= 10.0 || v == 0.0 => 0,
        v if v >= 1.0 => 1,
        _ => 2,
    };
    let mut text = format!("{value:.places$}");
    if places == 0 {
        for at in (1..text.len()).rev().skip(2).step_by(3) {
            text.insert(at, ',');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(transport: Transport, per_minute: f64, memory: Option<f64>) -> Row {
        Row {
            transport,
            per_minute,
            messages: 100,
            requests: 3.0,
            sent: 1_234_567.8,
            received: 999.4,
            p50_ms: 0.123,
            p99_ms: 12.3,
            cpu_us: None,
            memory,
        }
    }

    #[test]
    fn rows_become_a_table_by_rate_and_one_of_memory() {
        let rows = [
            row(Transport::LongPolling, 1.0, Some(812.0)),
            row(Transport::LongPolling, 3_600.0, Some(812.0)),
        ];
        let text = markdown(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| 1 a minute | long-polling | 3.0 | 1,234,568 | 999 | 0.12 | 12 | – |"
        );
        assert!(lines[3].starts_with("| 60 a second |"), "{text}");
        assert_eq!(lines[7], "| long-polling | 812 |");
        assert_eq!(lines.len(), 8);
    }

    #[test]
    fn memory_that_was_not_measured_has_no_table() {
        assert_eq!(
            markdown(&[row(Transport::Sse, 60.0, None)]).lines().count(),
            3
        );
    }
}
