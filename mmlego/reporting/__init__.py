"""What the pages of several questions share: tables, sentences, verdicts, standings."""
