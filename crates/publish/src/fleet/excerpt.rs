//! A text without some of its lines, which knows where in the text the others stand.

use std::borrow::Cow;
use std::ops::Range;

/// What is left of a text.
#[derive(Debug)]
pub struct Excerpt<'a> {
    whole: &'a str,
    left: Cow<'a, str>,
    /// Where in what is left something is missing, and how much is up to there, ascending.
    cuts: Vec<(usize, usize)>,
}

impl<'a> Excerpt<'a> {
    /// The whole text.
    pub fn whole(text: &'a str) -> Self {
        Excerpt { whole: text, left: text.into(), cuts: Vec::new() }
    }

    /// The text without these ranges, which ascend.
    pub fn without(text: &'a str, ranges: &[Range<usize>]) -> Self {
        let (mut left, mut cuts) = (String::new(), Vec::with_capacity(ranges.len()));
        let mut from = 0;
        for range in ranges {
            left.push_str(&text[from..range.start]);
            cuts.push((left.len(), range.end - left.len()));
            from = range.end;
        }
        left.push_str(&text[from..]);
        Excerpt { whole: text, left: left.into(), cuts }
    }

    /// What is left.
    pub fn left(&self) -> &str {
        &self.left
    }

    /// All of the text.
    pub fn text(&self) -> &'a str {
        self.whole
    }

    /// Where in the text the bytes of a range of what is left stand.
    pub fn place(&self, range: Range<usize>) -> Range<usize> {
        let clamp = |at: usize| at.min(self.left.len());
        let place = |at: usize| at + self.missing(at);
        let start = place(clamp(range.start));
        // The end is behind the last byte, not in front of the next one.
        let last = clamp(range.end).checked_sub(1).filter(|&last| last >= clamp(range.start));
        start..last.map_or(start, |last| place(last) + 1)
    }

    fn missing(&self, at: usize) -> usize {
        let before = self.cuts.partition_point(|&(cut, _)| cut <= at);
        before.checked_sub(1).map_or(0, |last| self.cuts[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_whole_text() {
        let text = "ab\ncd\nef\ngh\n";
        let excerpt = Excerpt::without(text, &[3..6, 9..12]);
        assert_eq!(excerpt.left(), "ab\nef\n");
        assert_eq!(excerpt.place(0..2), 0..2);
        assert_eq!(excerpt.place(3..5), 6..8);
        assert_eq!(excerpt.place(0..3), 0..3);
        // What spans a cut spans what was cut.
        assert_eq!(excerpt.place(1..4), 1..7);
        assert_eq!(excerpt.place(6..99), 12..12);
        let whole = Excerpt::whole(text);
        assert_eq!((whole.left(), whole.place(4..8)), (text, 4..8));
    }
}
