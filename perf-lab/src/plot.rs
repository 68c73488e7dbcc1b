//! Bars, as SVG: one group for each metric, one bar for each subject; the line over a bar is min to max.

use std::fmt::Write;

use crate::report::{Report, Row, shown};

const WIDTH: f64 = 860.0;
const LABEL: f64 = 250.0;
const NUMBER: f64 = 130.0;
const BAR: f64 = 18.0;
const COLOURS: [&str; 8] = ["#1b6ca8", "#d1495b", "#edae49", "#00798c", "#6a4c93", "#5f7a3a", "#8a5a44", "#666666"];

pub fn bars(report: &Report) -> String {
    let mut metrics: Vec<(&str, &str)> = Vec::new();
    let mut subjects: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !metrics.contains(&(&row.metric, &row.unit)) {
            metrics.push((&row.metric, &row.unit));
        }
        if !subjects.contains(&row.subject.as_str()) {
            subjects.push(&row.subject);
        }
    }
    let mut body = String::new();
    let mut y = 60.0;
    for (metric, unit) in metrics {
        let of_metric: Vec<&Row> = report.rows.iter().filter(|row| row.metric == metric && row.unit == unit).collect();
        let largest = of_metric.iter().map(|row| row.max).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let _ =
            writeln!(body, "<text x='10' y='{y}' font-weight='bold'>{} ({})</text>", escaped(metric), escaped(unit));
        y += 8.0;
        for row in of_metric {
            let colour = subjects.iter().position(|subject| *subject == row.subject).unwrap_or(0) % COLOURS.len();
            let scale = (WIDTH - LABEL - NUMBER) / largest;
            let (middle, text_y) = (y + BAR / 2.0, y + BAR - 5.0);
            let _ = writeln!(
                body,
                "<text x='{:.0}' y='{text_y:.1}' text-anchor='end'>{}</text>\
                 <rect x='{LABEL}' y='{:.1}' width='{:.1}' height='{:.1}' fill='{}'/>\
                 <line x1='{:.1}' x2='{:.1}' y1='{middle:.1}' y2='{middle:.1}' stroke='black'/>\
                 <text x='{:.1}' y='{text_y:.1}'>{}</text>",
                LABEL - 6.0,
                escaped(&row.subject),
                y + 2.0,
                row.median * scale,
                BAR - 4.0,
                COLOURS[colour],
                LABEL + row.min * scale,
                LABEL + row.max * scale,
                LABEL + row.max * scale + 6.0,
                shown(row.median),
            );
            y += BAR;
        }
        y += 24.0;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{y:.0}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n\
         <text x='10' y='22' font-size='16'>{}</text>\n<text x='10' y='40' fill='#555'>{}; commit {}</text>\n{body}</svg>\n",
        escaped(&report.experiment),
        escaped(&report.machine),
        escaped(&report.commit)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
