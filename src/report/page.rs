//! One HTML file that shows a run: no script, nothing fetched, pictures inside it.

use super::base64::encode;
use super::{png_bytes, write_atomically};
use crate::Result;
use image::RgbImage;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// A page that is written from top to bottom.
///
/// ```
/// use kiln::report::Page;
/// let mut page = Page::new("kiln demo");
/// page.section("Digits").text("Sixteen samples after 400 steps.").table(&["model", "bits/dim"], &[vec!["pixelcnn".into(), "0.21".into()]]);
/// assert!(page.to_html().contains("<td>pixelcnn</td>"));
/// ```
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), body: String::new() }
    }

    /// A heading.
    pub fn section(&mut self, title: &str) -> &mut Self {
        self.push(format_args!("<h2>{}</h2>\n", escape(title)))
    }

    /// A smaller heading.
    pub fn subsection(&mut self, title: &str) -> &mut Self {
        self.push(format_args!("<h3>{}</h3>\n", escape(title)))
    }

    /// Paragraphs, set apart by empty lines.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for paragraph in text.split("\n\n").filter(|p| !p.trim().is_empty()) {
            self.push(format_args!("<p>{}</p>\n", escape(paragraph)));
        }
        self
    }

    /// Text as it is, in a fixed width: a command, a recipe.
    pub fn code(&mut self, text: &str) -> &mut Self {
        self.push(format_args!("<pre tabindex=\"0\">{}</pre>\n", escape(text)))
    }

    /// A picture within the page, and what it shows.
    ///
    /// # Errors
    /// A picture of no pixels.
    pub fn image(&mut self, caption: &str, picture: &RgbImage) -> Result<&mut Self> {
        let (bytes, caption) = (encode(&png_bytes(picture)?), escape(caption));
        let (width, height) = picture.dimensions();
        Ok(self.push(format_args!(
            "<figure><img alt=\"{caption}\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{bytes}\">\
             <figcaption>{caption}</figcaption></figure>\n"
        )))
    }

    /// A table; cells that read as numbers are set to the right.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> &mut Self {
        self.body.push_str("<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr>");
        for cell in head {
            self.push(format_args!("<th>{}</th>", escape(cell)));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for cell in row {
                let class = if is_number(cell) { " class=\"n\"" } else { "" };
                self.push(format_args!("<td{class}>{}</td>", escape(cell)));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
        self
    }

    /// The whole page.
    pub fn to_html(&self) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{}</style>\n\
             </head>\n<body>\n<main>\n<h1>{title}</h1>\n{}</main>\n</body>\n</html>\n",
            include_str!("page.css"),
            self.body
        )
    }

    /// Writes the page to a file, whole or not at all.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomically(path, |out| out.write_all(self.to_html().as_bytes()))
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(text);
        self
    }
}

/// Whether a cell holds a number, perhaps with its error or unit.
fn is_number(cell: &str) -> bool {
    let first = cell.split_whitespace().next().unwrap_or("");
    first.trim_start_matches(['−', '~', '≤', '≥', '<', '>']).trim_end_matches('%').replace(',', "").parse::<f64>().is_ok()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stands_alone_and_its_text_is_only_text() {
        let mut page = Page::new("a < b & c");
        page.section("<script>").text("one\n\ntwo").code("kiln train \"x\"");
        page.image("a \"quoted\" caption", &RgbImage::new(2, 2)).unwrap();
        page.table(&["name", "value"], &[vec!["loss".into(), "−81.2 ± 0.3".into()]]);
        let folder = tempfile::tempdir().unwrap();
        page.save(&folder.path().join("page.html")).unwrap();
        let html = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
        assert!(html.contains("<title>a &lt; b &amp; c</title>"));
        assert!(!html.contains("<script>") && !html.contains("http"));
        assert!(html.contains("<p>one</p>\n<p>two</p>"));
        assert!(html.contains("src=\"data:image/png;base64,iVBOR"));
        assert!(html.contains("<td class=\"n\">−81.2 ± 0.3</td>"));
        assert!(page.image("nothing", &RgbImage::new(0, 0)).is_err());
    }
}
