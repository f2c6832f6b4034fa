"""The tables and figures of the COMiT-Net paper, trained and measured again."""
