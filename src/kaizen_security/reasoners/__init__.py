"""Reasoners: who is asked what rules cannot settle. A model of any provider, or the local judge. They may raise, never lower."""
