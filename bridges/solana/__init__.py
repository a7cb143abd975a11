"""The Solana adapter: reads posts of the Sibyl program, delivers messages to it, and speaks to it for users and operators."""
